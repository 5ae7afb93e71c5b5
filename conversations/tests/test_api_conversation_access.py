"""Who gets at which endpoint of conversations and messages: owner, others, nobody, keys with and without a scope."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import AuditEvent, User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_guest, make_moderator
from conversations import services
from conversations.models import Conversation, Message
from personas.models import Persona

from .factories import make_exchange

pytestmark = pytest.mark.django_db

CALLS: list[tuple[str, str, Any, Scope]] = [
    ("get", "conversations", None, Scope.READ),
    ("post", "conversations", {}, Scope.WRITE),
    ("post", "conversations/clear", {"archived": True}, Scope.WRITE),
    ("get", "conversations/{conversation}", None, Scope.READ),
    ("put", "conversations/{conversation}", {"title": "x", "pinned": False, "archived": False, "metadata": {}},
     Scope.WRITE),
    ("patch", "conversations/{conversation}", {"pinned": True}, Scope.WRITE),
    ("post", "conversations/{conversation}/select-branch", {"message": "{reply}"}, Scope.WRITE),
    ("get", "conversations/{conversation}/messages", None, Scope.READ),
    ("get", "conversations/{conversation}/export", None, Scope.READ),
    ("get", "messages/{reply}", None, Scope.READ),
    ("put", "messages/{reply}/feedback", {"value": 1}, Scope.WRITE),
    ("post", "messages/{reply}/feedback", {"value": 1}, Scope.WRITE),
    ("delete", "messages/{reply}/feedback", None, Scope.WRITE),
    ("post", "messages/{reply}/stop", {}, Scope.CHAT),
    ("delete", "conversations/{conversation}", None, Scope.WRITE),
    ("post", "conversations/{conversation}/restore", {}, Scope.WRITE),
]  # fmt: skip
OF_ONE = [call for call in CALLS if "{" in call[1]]
ASKING = [
    ("post", "messages/{question}/edit", {"text": "x", "wait": 0}, Scope.CHAT),
    ("post", "messages/{reply}/regenerate", {"wait": 0}, Scope.CHAT),
    ("post", "messages/{reply}/continue", {"wait": 0}, Scope.CHAT),
    ("post", "messages/{reply}/hand-over", {}, Scope.WRITE),
]


def fill(text: Any, made: services.Accepted) -> Any:
    """A path or body with the ids of what was made."""
    if isinstance(text, dict):
        return {name: fill(value, made) for name, value in text.items()}
    names = {"conversation": made.conversation.pk, "question": made.question.pk, "reply": made.reply.pk}
    return text.format(**names) if isinstance(text, str) else text


@pytest.mark.parametrize(("method", "path", "body", "scope"), [*CALLS, *ASKING])
def test_nobody_gets_nothing(owner: User, persona: Persona, method: str, path: str, body: Any, scope: Scope) -> None:
    made = make_exchange(owner)
    assert refusal(ApiClient().call(method, fill(path, made), fill(body, made))) == (401, "signed_out")


@pytest.mark.parametrize("stranger", ["other", "guest", "moderator", "nothing"])
@pytest.mark.parametrize(("method", "path", "body", "scope"), [*OF_ONE, *ASKING])
def test_anothers_is_as_absent(
    owner: User, other: User, persona: Persona, method: str, path: str, body: Any, scope: Scope, stranger: str
) -> None:
    made = make_exchange(owner)
    before = Conversation.objects.values().get(), list(Message.objects.order_by("pk").values())
    who = {"guest": make_guest, "moderator": make_moderator}.get(stranger, lambda: other)()
    client = ApiClient.of(who)
    found = client.call(method, fill(path, made), fill(body, made))
    nothing = services.Accepted(Conversation(pk=uuid4()), Message(pk=uuid4()), Message(pk=uuid4()))
    absent = client.call(method, fill(path, nothing), fill(body, nothing))
    assert refusal(found) == (404, "not_found")
    assert found.content == absent.content
    assert (Conversation.objects.values().get(), list(Message.objects.order_by("pk").values())) == before
    assert AuditEvent.objects.filter(action="conversation.refused", actor__person=who).exists()


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_owners_and_guests_do_it_with_a_key_of_that_scope_or_their_own_sign_in(
    owner: User, persona: Persona, method: str, path: str, body: Any, scope: Scope
) -> None:
    guest = make_guest()
    for client, person in (
        (ApiClient.with_key(owner, scope), owner), (ApiClient.of(owner), owner), (ApiClient.of(guest), guest)
    ):  # fmt: skip
        made = make_exchange(person)
        answer = client.call(method, fill(path, made), fill(body, made))
        assert answer.status_code in (200, 201, 204), answer.content


@pytest.mark.parametrize(("method", "path", "body", "scope"), [*CALLS, *ASKING])
def test_a_key_without_the_scope_does_not(
    owner: User, persona: Persona, method: str, path: str, body: Any, scope: Scope
) -> None:
    made = make_exchange(owner)
    key = ApiClient.with_key(owner, *(each for each in Scope if each != scope))
    assert refusal(key.call(method, fill(path, made), fill(body, made))) == (403, "scope_missing")
