"""The bench's rows, made and checked through Django. Run by bench_stack.py in the product's environment; talks JSON.

``python -m stress_tests.bench_seed make`` reads ``{"users": 100, "personas": {"slug": "provider/name"}}`` and prints
the users' session keys. ``… tokens`` prints access tokens of the same people, ``… audit`` how many replies the database
holds by status, and how many of the completed ones differ from what the model sent.
"""

import collections
import json
import os
import sys
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.hashers import make_password  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import families  # noqa: E402
from accounts.models import BrowserSession, User  # noqa: E402
from accounts.sessions import SessionStore  # noqa: E402
from conversations.models import Message  # noqa: E402
from personas.models import Persona, PersonaVersion  # noqa: E402

from .bench_turns import CHECKSUM_CHARACTERS, checksum  # noqa: E402

BACKEND = settings.AUTHENTICATION_BACKENDS[0]


def make(users: int, personas: dict[str, str]) -> list[str]:
    """Personas that answer with the given models, and people signed in. Returns their session keys."""
    with transaction.atomic():
        for slug, model in personas.items():
            publish(slug, model)
        now = timezone.now()
        nobody_knows = make_password(None)
        people = User.objects.bulk_create(
            User(
                email=f"person{number}@bench.invalid",
                username=f"person{number}",
                password=nobody_knows,
                email_verified_at=now,
            )
            for number in range(users)
        )
        sessions = BrowserSession.objects.bulk_create(_session(person) for person in people)
    return [session.session_key for session in sessions]


def tokens() -> list[str]:
    """An access token for each of the people, in their order."""
    people = User.objects.filter(email__endswith="@bench.invalid").order_by("pk")
    return [families.open_family(user=person).access for person in people]


def publish(slug: str, model: str) -> None:
    persona = Persona.objects.create(slug=slug)
    persona.published = PersonaVersion.objects.create(
        persona=persona,
        number=1,
        name=slug,
        system_prompt="You answer in numbers.",
        model=model,
        published_at=timezone.now(),
    )
    persona.save()


def _session(person: User) -> BrowserSession:
    store = SessionStore()
    content = {
        SESSION_KEY: str(person.pk),
        BACKEND_SESSION_KEY: BACKEND,
        HASH_SESSION_KEY: person.get_session_auth_hash(),
    }
    return BrowserSession(
        session_key=store._get_new_session_key(),  # type: ignore[attr-defined]  # the one way to many in one statement
        session_data=store.encode(content),
        expire_date=timezone.now() + timedelta(days=1),
        user=person,
    )


def audit() -> dict[str, Any]:
    """What the database holds once all is done."""
    replies = Message.objects.replies().values_list("status", "text")
    statuses: collections.Counter[str] = collections.Counter()
    wrong = 0
    for status, text in replies.iterator():
        statuses[status] += 1
        if status == Message.Status.COMPLETED:
            wrong += checksum(text[:-CHECKSUM_CHARACTERS]) != text[-CHECKSUM_CHARACTERS:]
    return {"replies": dict(statuses), "wrong_text": wrong}


if __name__ == "__main__":
    printed = {"audit": audit, "tokens": tokens}.get(sys.argv[1])
    json.dump(make(**json.load(sys.stdin)) if printed is None else printed(), sys.stdout)
