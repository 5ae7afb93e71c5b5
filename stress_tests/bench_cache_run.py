"""What bench_cache.py has done through Django, in the environment of its stack: one phase, JSON in and out."""

import collections
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from accounts.models import User  # noqa: E402
from conversations.models import Message  # noqa: E402
from conversations.services import send_message  # noqa: E402
from faqs.indexing import fill_index  # noqa: E402
from faqs.models import FAQ, Phrasing  # noqa: E402
from faqs.phrasings import as_rows, refresh_search  # noqa: E402
from faqs.state import bump_revision  # noqa: E402
from personas.models import Persona, PersonaVersion  # noqa: E402

from .faq_corpus import make_corpus  # noqa: E402

LIVE = (Message.Status.QUEUED, Message.Status.STREAMING)
LOOK_SECONDS = 0.05
DEADLINE_SECONDS = 300.0


def make(faqs: int, phrasings: int, personas: dict[str, dict[str, Any]]) -> list[str]:
    """Published FAQs that can be found, and personas with the given fields."""
    made = list(make_corpus(faqs, phrasings))
    rows = FAQ.objects.bulk_create(
        FAQ(question=one.question, answer=one.answer, status="published", visibility="guests") for one in made
    )
    Phrasing.objects.bulk_create(
        row for faq, one in zip(rows, made, strict=True) for row in as_rows(faq, one.phrasings[1:])
    )
    refresh_search(rows)
    bump_revision()
    fill_index()
    for slug, fields in personas.items():
        persona = Persona.objects.create(slug=slug)
        persona.published = PersonaVersion.objects.create(
            persona=persona, number=1, name=slug, system_prompt="You help.", published_at=timezone.now(), **fields
        )
        persona.save()
    return list(personas)


def ask(persona: str, texts: list[str], at_once: int) -> dict[str, Any]:
    """Ask ``texts`` in this order, each by another person and in a conversation of its own, ``at_once`` under way; how
    each was answered. Raises TimeoutError."""
    people = list(User.objects.order_by("username"))
    began, waiting = time.monotonic(), list(enumerate(texts))
    replies: list[UUID] = []
    live: set[UUID] = set()
    while waiting or live:
        while waiting and len(live) < at_once:
            number, text = waiting.pop(0)
            accepted = send_message(
                user=people[number % len(people)], client_id=uuid4().hex, text=text, persona_slug=persona
            )
            replies.append(accepted.reply.pk)
            live.add(accepted.reply.pk)
        if time.monotonic() - began > DEADLINE_SECONDS:
            raise TimeoutError(f"{len(live)} replies have not ended")
        time.sleep(LOOK_SECONDS)
        live &= set(Message.objects.filter(pk__in=live, status__in=LIVE).values_list("pk", flat=True))
    ended = Message.objects.filter(pk__in=replies).values_list("pk", "status", "source", "cached_at")
    rows = {pk: how_answered(status, source, cached_at is not None) for pk, status, source, cached_at in ended}
    how = [rows[pk] for pk in replies]
    return {"how": how, "counts": dict(collections.Counter(how)), "seconds": round(time.monotonic() - began, 1)}


def how_answered(status: str, source: str | None, is_cached: bool) -> str:
    """``direct``, ``unknown``, ``cached``, ``model``, or how it ended where it was not whole."""
    if status != Message.Status.COMPLETED:
        return status
    if source in (Message.Source.FAQ, Message.Source.UNKNOWN):
        return "direct" if source == Message.Source.FAQ else "unknown"
    return "cached" if is_cached else "model"


if __name__ == "__main__":
    works: dict[str, Callable[..., Any]] = {"make": make, "ask": ask}
    work = works[sys.argv[1]]
    json.dump(work(**json.load(sys.stdin)), sys.stdout)
