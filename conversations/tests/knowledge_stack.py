"""Personas that answer from the FAQ, and what their model was told, for tests."""

import re
from typing import Any

from faqs.models import FAQ
from faqs.tests.factories import make_faq, make_index
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer

from .factories import make_persona

PIN_ANSWER = (
    "Open the app, choose *Cards*, then **Reset PIN**. A letter with the new number arrives within five working days."
)
FEE_ANSWER = "Transfers within the country cost nothing; a transfer abroad costs three euros and takes two days."


def make_knowing_persona(mode: str = "context", **fields: Any) -> Persona:
    """A published persona that answers from the FAQ and offers all there is to offer."""
    offers = {"unknown_offers": ["rephrase", "contact", "handover"], "contact": "help@example.com"}
    return make_persona(**({"faq_mode": mode, "context_budget": 2000, **offers} | fields))


def make_knowledge() -> tuple[FAQ, FAQ]:
    """Two published FAQs that can be found: how to reset a PIN, and what a transfer costs."""
    pin = make_faq(
        "How do I reset the PIN of my card?",
        PIN_ANSWER,
        phrasings=["I forgot my card PIN", "change the secret number of my card"],
    )
    fee = make_faq(
        "What does a bank transfer cost?", FEE_ANSWER, phrasings=["transfer fees", "price of sending money abroad"]
    )
    make_index()
    return pin, fee


def system_prompts(fake_model: FakeModelServer) -> list[str]:
    """The system message of each chat request that the model got."""
    return [str(request.messages[0]["content"]) for request in fake_model.requests if request.messages]


def fences(prompt: str) -> list[str]:
    """What stands within the fences of a system prompt, by their random code."""
    named = re.search(r"between a line <source-([0-9a-f]{16}) ", prompt)
    if named is None:
        return []
    code = named[1]
    return re.findall(rf'^<source-{code} number="\d+">$\n(.*?)\n^</source-{code}>$', prompt, re.DOTALL | re.MULTILINE)


def outside_fences(prompt: str) -> str:
    """What of a system prompt stands in no fence."""
    for body in fences(prompt):
        prompt = prompt.replace(body, "")
    return prompt
