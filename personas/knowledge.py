"""What the FAQ holds on a question put to a persona: found for the version and the person, and judged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

from accounts.audience import Visibility, visibilities_for
from chatbot_project.lib.llm.providers import LOCAL_MODEL
from faqs.languages import LANGUAGES, detect_language, is_language
from faqs.models import FAQ
from faqs.retrieval import FAQMatch, Found, find_answer
from personas.follow_ups import refers_back
from personas.models import FAQMode, PersonaVersion
from personas.small_talk import is_small_talk
from personas.sources import MAX_SOURCES, Source, marks

# The embedded model is too small to answer from sources, it makes things up: what probably answers stands for itself.
EMBEDDED_DIRECT_CONFIDENCE = 0.5


class Verdict(Enum):
    """What is to be done with a question."""

    MODEL_ALONE = "model_alone"  # small talk, or there is no FAQ at all
    UNKNOWN = "unknown"  # nothing approved answers it
    DIRECT = "direct"  # the best match is the answer
    CONTEXT = "context"  # a model answers from the matches


@dataclass(frozen=True, slots=True)
class Consulted:
    """``language`` is the question's. ``matches`` are the best first, and empty unless something answers. ``text`` is
    the whole reply where no model is needed for it; ``seen`` says which knowledge was looked at and for whom, where
    somebody has noted it."""

    verdict: Verdict
    language: str
    matches: list[FAQMatch] = field(default_factory=list)
    text: str = ""
    seen: str = ""


def visibilities_of(version: PersonaVersion, user: Any) -> list[str]:
    """Whose FAQs ``version`` may use for ``user``: only what everyone who may see the persona may read, and of that
    only what this person may. A guest is never answered from FAQs for staff, whatever the persona."""
    order = Visibility.values
    shared = order[: order.index(version.visibility) + 1]
    return [visibility for visibility in visibilities_for(user) if visibility in shared]


def warm_up() -> bool:
    """Load what an answer from the FAQ takes (vectors, matcher, languages: about a second), where any persona in force
    asks it; returns whether one does. Raises Django's database errors."""
    asks = PersonaVersion.objects.filter(published_as__archived_at=None, published_as__isnull=False)
    if not asks.exclude(faq_mode=FAQMode.OFF).exists():
        return False
    find_answer("Where do I begin?", visibilities=[Visibility.GUESTS])
    return True


def consult(version: PersonaVersion, question: str, *, previous: str = "", user: Any) -> Consulted:
    """Ask the FAQ for ``question``; for one that finds nothing and goes on about the ``previous`` one of the
    conversation, together with that. Blocking: see ``faqs.retrieval.find_answer``."""
    if is_small_talk(question):
        return Consulted(Verdict.MODEL_ALONE, question_language(question, user))
    found = _find(version, question, user)
    follows_up = False
    if found.is_below_floor and previous and refers_back(question):
        together = _find(version, f"{previous}\n{question}", user)
        follows_up = not together.is_below_floor
        found = together if follows_up else found
    language = question_language(question, user, found.language)
    if found.best is None or found.is_below_floor:
        # Without any FAQ an installation's personas talk all the same.
        is_empty = found.best is None and not FAQ.objects.in_force().exists()
        if is_empty:
            return Consulted(Verdict.MODEL_ALONE, language)
        return Consulted(Verdict.UNKNOWN, language, text=unknown_text(language, user))
    sure = found.best.confidence >= direct_confidence(version) and not follows_up
    is_direct = version.faq_mode == FAQMode.DIRECT and sure and is_language(found.best.language, language)
    if is_direct:
        return Consulted(Verdict.DIRECT, language, found.matches, found.best.answer)
    return Consulted(Verdict.CONTEXT, language, found.matches)


def direct_confidence(version: PersonaVersion) -> float:
    """From which confidence on ``version`` gives an approved answer as it stands, in direct mode."""
    is_embedded = (version.model or settings.DEFAULT_MODEL) == LOCAL_MODEL
    return min(settings.FAQ_DIRECT_CONFIDENCE, EMBEDDED_DIRECT_CONFIDENCE if is_embedded else 1.0)


def _find(version: PersonaVersion, question: str, user: Any) -> Found:
    return find_answer(
        question,
        visibilities=visibilities_of(version, user),
        categories=version.faq_categories or None,
        limit=MAX_SOURCES,
    )


def question_language(question: str, user: Any, default: str = "") -> str:
    """The language ``question`` is in; where that is unclear ``default``, else the reader's."""
    default = default or getattr(user, "language", "") or settings.LANGUAGE_CODE
    return detect_language(question, among=LANGUAGES, default=default)


def unknown_text(language: str, user: Any) -> str:
    """That there is no approved answer: in ``language`` where the pages speak it, else in the reader's."""
    known = dict(settings.LANGUAGES)
    wanted = (language, language.partition("-")[0], getattr(user, "language", ""))
    with translation.override(next((code for code in wanted if code in known), settings.LANGUAGE_CODE)):
        return gettext("I do not know the answer to that: there is no approved answer that fits your question.")


def as_sources(matches: list[FAQMatch], *, earlier: Sequence[Source] = (), text: str = "") -> list[Source]:
    """``matches`` with numbers from 1 on. What a reply cited ``earlier`` keeps its number; nothing else gets it, nor
    any other number that the ``text`` which goes on names: what that meant is not known any more."""
    numbers = {source.faq: source.number for source in earlier if source.faq is not None}
    taken = {source.number for source in earlier} | set(marks(text))
    free = (number for number in range(1, 100 + len(taken)) if number not in taken)
    return [
        Source(
            numbers[match.faq] if match.faq in numbers else next(free),
            match.faq,
            match.question,
            match.phrasing,
            match.confidence,
            match.answer,
        )
        for match in matches
    ]
