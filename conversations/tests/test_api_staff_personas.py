"""A key of staff without the scope ``staff`` talks with those whom anybody may talk with, by whichever way."""

from uuid import uuid4

import pytest

from accounts import api_keys, tickets
from accounts.credentials import Credential, Kind
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_moderator
from chatbot_project.lib.errors import NotFound
from conversations import services
from conversations.models import Conversation
from personas.models import Persona

from .factories import make_persona

pytestmark = pytest.mark.django_db
WITHOUT = (Scope.READ, Scope.WRITE, Scope.CHAT)


@pytest.fixture
def moderator() -> User:
    return make_moderator()


@pytest.fixture
def staffs(persona: Persona) -> Persona:
    return make_persona(visibility="staff")


def admitted(user: User, *scopes: Scope) -> User:
    """Who comes in by a ticket that a key with ``scopes`` asked for."""
    key, _text = api_keys.create_key(user=user, name="socket", scopes=scopes)
    credential = Credential(Kind.API_KEY, str(key.pk), frozenset(scopes))
    admission = tickets.take_ticket(tickets.issue_ticket(user=user, credential=credential))
    assert admission is not None
    return admission.user


@pytest.mark.parametrize("path", ["chat/send", "conversations"])
def test_over_http(moderator: User, staffs: Persona, path: str) -> None:
    body = {"persona": staffs.slug} | ({"text": "Hello?", "wait": 0} if path == "chat/send" else {})
    assert refusal(ApiClient.with_key(moderator, *WITHOUT).post(path, body)) == (404, "not_found")
    assert not Conversation.objects.exists()
    for client in (ApiClient.with_key(moderator, *Scope), ApiClient.of(moderator)):
        assert client.post(path, body).status_code in (200, 201)
    assert Conversation.objects.filter(owner=moderator).count() == 2


def test_over_the_socket(moderator: User, staffs: Persona) -> None:
    def send(user: User) -> services.Accepted:
        return services.send_message(user=user, client_id=uuid4().hex, text="Hello?", persona_slug=staffs.slug)

    with pytest.raises(NotFound):
        send(admitted(moderator, *WITHOUT))
    assert send(admitted(moderator, *Scope)).conversation.owner == moderator


def test_as_a_model_of_openais_clients(moderator: User, staffs: Persona, persona: Persona) -> None:
    def models(*scopes: Scope) -> set[str]:
        client = ApiClient.with_key(moderator, *scopes)
        answer = client.client.get("/v1/models", headers=client.headers)
        return {model["id"] for model in answer.json()["data"]}

    assert models(*WITHOUT) == {f"persona:{persona.slug}"}
    assert models(*Scope) == {f"persona:{persona.slug}", f"persona:{staffs.slug}"}
