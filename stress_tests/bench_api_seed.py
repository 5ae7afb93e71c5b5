"""The API bench's rows, and what its reads ask of the database. Run by bench_api.py in the product's environment.

``python -m stress_tests.bench_api_seed make`` reads ``{"people": 1000, "messages": 100000, "callers": 50, "personas":
{"slug": "provider/name"}}`` and prints who calls, and addresses that each of them may read. ``… queries`` reads what
that printed, and prints the number of queries of each address.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import families  # noqa: E402
from accounts.models import User  # noqa: E402
from accounts.roles import Role  # noqa: E402
from conversations.models import Conversation, Message  # noqa: E402
from faqs.tests.factories import make_category, make_faq, make_index  # noqa: E402
from personas.models import Persona  # noqa: E402

from .bench_seed import publish  # noqa: E402

EXCHANGES = 10  # of a conversation
WORDS = "Where do I find the invoice of the last order, and how long may I send it back? "
ANSWER = "You find it on the last page of *My orders*.\n\n- within 30 days\n- with the form\n\n" + WORDS * 3
FAQS = 200


def make(people: int, messages: int, callers: int, personas: dict[str, str]) -> dict[str, Any]:
    """All rows. Every caller is one of the people; one is an admin."""
    with transaction.atomic():
        for slug, model in personas.items():
            publish(slug, model)
        nobody_knows, now = make_password(None), timezone.now()
        everybody = User.objects.bulk_create(
            User(
                email=f"reader{number}@bench.invalid",
                username=f"reader{number}",
                password=nobody_knows,
                email_verified_at=now,
            )
            for number in range(people)
        )
        _talk(everybody, messages)
        _know()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    admin = User.objects.create_user("admin@bench.invalid", None, username="admin", role=Role.ADMIN)
    return {
        "messages": Message.objects.count(),
        "callers": [_caller(person) for person in everybody[:callers]],
        "admin": {"token": families.open_family(user=admin).access, "addresses": _addresses_of_staff(everybody[0])},
    }


def _talk(everybody: list[User], messages: int) -> None:
    """Conversations of ten exchanges each, evenly over the people and the last year."""
    version = Persona.objects.select_related("published").earliest("pk").published
    count = messages // (2 * EXCHANGES)
    started = [timezone.now() - timedelta(days=365) * (number + 1) / count for number in range(count)]
    conversations = Conversation.objects.bulk_create(
        (
            Conversation(
                owner=everybody[number % len(everybody)],
                persona_version=version,
                title=f"Order {number}",
                created_at=started[number],
                updated_at=started[number],
            )
            for number in range(count)
        ),
        batch_size=2000,
    )
    Message.objects.bulk_create(_messages(conversations), batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation c SET active_leaf_id ="
            " (SELECT m.id FROM conversations_message m WHERE m.conversation_id = c.id ORDER BY m.id DESC LIMIT 1)"
        )


def _messages(conversations: list[Conversation]) -> Iterator[Message]:
    for conversation in conversations:
        parent = None
        for number in range(EXCHANGES):
            shared = {"conversation": conversation, "owner_id": conversation.owner_id}
            question = Message(**shared, parent=parent, role="user", status="sent", text=f"{number}: {WORDS}")
            yield question
            parent = Message(
                **shared,
                parent=question,
                role="assistant",
                status="completed",
                text=ANSWER,
                epoch=1,
                model="bench/fake",
            )
            yield parent


def _know() -> None:
    categories = [make_category(f"bench-{number}") for number in range(10)]
    for number in range(FAQS):
        make_faq(f"Where is page {number} of the catalogue?", category=categories[number % 10])
    make_index()


def _caller(person: User) -> dict[str, Any]:
    conversation = Conversation.objects.filter(owner=person).latest("updated_at")
    reply = Message.objects.filter(conversation=conversation, role="assistant").latest("pk")
    persona = Persona.objects.earliest("pk").slug
    faq = _a_faq()
    addresses = {
        "conversations": "conversations",
        "conversations?search=": "conversations?search=order",
        "conversations/{id}": f"conversations/{conversation.pk}",
        "conversations/{id}/messages": f"conversations/{conversation.pk}/messages",
        "messages/{id}": f"messages/{reply.pk}",
        "me": "me",
        "sessions": "sessions",
        "auth/api-keys": "auth/api-keys",
        "personas": "personas",
        "personas/{slug}": f"personas/{persona}",
        "faqs": "faqs",
        "faqs/{id}": f"faqs/{faq}",
        "faq-categories": "faq-categories",
    }
    return {"token": families.open_family(user=person).access, "addresses": addresses}


def _a_faq() -> str:
    from faqs.models import FAQ

    return str(FAQ.objects.earliest("pk").pk)


def _addresses_of_staff(person: User) -> dict[str, str]:
    return {
        "analytics/dashboard": "analytics/dashboard",
        "analytics/user/{id}": f"analytics/user/{person.pk}",
        "analytics/conversations": "analytics/conversations",
    }


def queries(callers: list[dict[str, Any]]) -> dict[str, int]:
    """How many queries each address takes, the token's own among them."""
    found: dict[str, int] = {}
    for caller in callers:
        client = Client(headers={"Authorization": f"Bearer {caller['token']}", "Host": "127.0.0.1"})
        for name, address in caller["addresses"].items():
            client.get(f"/api/v1/{address}")  # what is looked up once in a process
            with CaptureQueriesContext(connection) as captured:
                answer = client.get(f"/api/v1/{address}")
            assert answer.status_code == 200, (address, answer.content)
            found[name] = len(captured)
    return found


if __name__ == "__main__":
    given = json.load(sys.stdin)
    json.dump(queries(given) if sys.argv[1:] == ["queries"] else make(**given), sys.stdout)
