"""``/v1/``: personas as models for whom they are meant, and every refusal there in OpenAI's shape."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import services as accounts_services
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient
from accounts.tests.factories import make_admin, make_guest, make_moderator
from conversations.models import Message
from conversations.openai_api import views
from personas.models import Persona

from .client import session_key
from .factories import make_persona

pytestmark = pytest.mark.django_db

CHAT = "chat/completions"
HELLO = {"model": "persona:nobody", "messages": [{"role": "user", "content": "Hi"}]}


class Program(ApiClient):
    """A program that calls ``/v1/``."""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"/v1/{path}", headers={**self.headers, **headers}, **data)


def refusal(answer: HttpResponse) -> tuple[int, str | None]:
    """Status and code of an error in OpenAI's shape."""
    assert answer["Content-Type"] == "application/json", (answer.status_code, answer["Content-Type"])
    body = json.loads(answer.content)
    assert list(body) == ["error"]
    assert {"message", "type", "param", "code"} <= set(body["error"])
    assert body["error"]["message"]
    assert answer.get("Content-Length") in (None, str(len(answer.content)))
    return answer.status_code, body["error"]["code"]


def ids(answer: HttpResponse) -> list[str]:
    assert answer.status_code == 200
    return [model["id"] for model in answer.json()["data"]]


def test_the_models_are_the_personas_that_one_may_use(owner: User, persona: Persona, django_assert_num_queries) -> None:
    members, staff = make_persona(visibility="users"), make_persona(visibility="staff")
    assert ids(Program.of(make_guest()).get("models")) == [f"persona:{persona.slug}"]
    assert ids(Program.of(owner).get("models")) == [f"persona:{p.slug}" for p in (persona, members)]
    moderator = Program.of(make_moderator())
    with django_assert_num_queries(2):
        assert ids(moderator.get("models")) == [f"persona:{p.slug}" for p in (persona, members, staff)]
    Persona.objects.filter(pk=members.pk).update(published=None)
    assert ids(Program.of(owner).get("models")) == [f"persona:{persona.slug}"]


def test_a_model_says_who_it_is(owner: User, persona: Persona) -> None:
    version = persona.published
    expected = {
        "id": f"persona:{persona.slug}", "object": "model", "created": int(version.published_at.timestamp()),
        "owned_by": "nono", "name": version.name, "description": "Helps with tests.",
    }  # fmt: skip
    client = Program.of(owner)
    assert client.get("models").json() == {"object": "list", "data": [expected]}
    assert client.get(f"models/persona:{persona.slug}").json() == expected
    assert client.get(f"models/persona%3A{persona.slug}").json() == expected


def test_a_model_that_is_not_for_this_person_answers_as_one_that_is_not(owner: User) -> None:
    hidden = make_persona(visibility="staff")
    assert Program.of(make_admin()).get(f"models/persona:{hidden.slug}").status_code == 200
    answers = [Program.of(owner).get(f"models/{model}") for model in (f"persona:{hidden.slug}", "persona:absent")]
    assert {refusal(answer) for answer in answers} == {(404, "model_not_found")}
    assert len({answer.content.replace(hidden.slug.encode(), b"absent") for answer in answers}) == 1
    for model in (hidden.slug, "gpt-4o", "openai/gpt-4o", "persona:"):
        assert refusal(Program.of(owner).get(f"models/{model}")) == (404, "model_not_found")


# --- who may


@pytest.mark.parametrize(("method", "path"), [("get", "models"), ("get", "models/persona:x"), ("post", CHAT)])
def test_nobody_gets_in_without_a_key_that_is_good(method: str, path: str, owner: User) -> None:
    for token in ("", "nono_sk_x", "sk-openai", "a.b.c"):
        answer = Program(token).call(method, path, HELLO if method == "post" else None)
        assert refusal(answer) == (401, "invalid_api_key")
        assert answer["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["error"]["type"] == "authentication_error"
    page = Client(headers={"Cookie": f"sessionid={session_key(owner)}"})
    assert refusal(page.get("/v1/models")) == (401, "invalid_api_key"), "a page's session is no key"


def test_a_key_needs_the_scope(owner: User, persona: Persona) -> None:
    assert Program.with_key(owner, Scope.READ).get("models").status_code == 200
    reader = Program.with_key(owner, Scope.READ, Scope.WRITE)
    answer = reader.post(CHAT, HELLO)
    assert refusal(answer) == (403, "scope_missing")
    assert answer.json()["error"]["type"] == "permission_error"
    asker = Program.with_key(owner, Scope.CHAT)
    assert refusal(asker.get("models")) == (403, "scope_missing")


def test_a_suspended_persons_key_is_none(owner: User) -> None:
    client = Program.with_key(owner, *Scope)
    accounts_services.set_suspended(actor=make_admin(), user=owner, suspended=True, reason="x")
    assert refusal(client.get("models")) == (401, "invalid_api_key")


# --- whatever refuses, in one shape


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "nothing", 404, "not_found"),
        ("post", "embeddings", 404, "not_found"),
        ("post", "responses", 404, "not_found"),
        ("delete", "", 404, "not_found"),
        ("get", CHAT, 405, "method_not_allowed"),
        ("delete", "models/persona:x", 405, "method_not_allowed"),
        ("get", "models?q=%00", 400, "malformed"),
        ("get", "models/%00", 400, "malformed"),
        ("get", "models?key=nono_sk_" + "x" * 43, 400, "token_in_address"),
    ],
)
def test_every_address_refuses_in_the_shape_of_openai(
    method: str, path: str, status: int, code: str, owner: User
) -> None:
    answer = Program.of(owner).call(method, path, headers={"Accept": "text/html"})
    assert refusal(answer) == (status, code)
    if status == 405:
        assert answer["Allow"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"model": NaN}', 400, "malformed"),
        (b'"\\ud800"', 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"[]", 400, "invalid_value"),
        (b"{}", 400, "invalid_value"),
        (b'{"n": 3}', 400, "unsupported_parameter"),
        (b'"' + b"x" * 1024 * 1024 + b'"', 413, "too_large"),
    ],
)
def test_a_body_that_cannot_be_taken(body: bytes, status: int, code: str, owner: User) -> None:
    answer = Program.of(owner).client.post(
        f"/v1/{CHAT}", body, content_type="application/json", headers=Program.of(owner).headers
    )
    assert refusal(answer) == (status, code)
    assert not Message.objects.exists()


def test_bodies_of_other_kinds_and_lengths(owner: User) -> None:
    client = Program.of(owner)
    form = client.client.post(f"/v1/{CHAT}", {"model": "x"}, headers=client.headers)
    assert refusal(form) == (415, "unsupported_media_type")
    headers = {**client.headers, "Transfer-Encoding": "chunked"}
    chunked = client.client.generic("POST", f"/v1/{CHAT}", headers=headers)
    assert refusal(chunked) == (411, "length_required")


def test_what_is_wrong_is_said_with_its_place(owner: User) -> None:
    answer = Program.of(owner).post(CHAT, {**HELLO, "messages": [{"role": "user", "content": 5}]})
    assert refusal(answer) == (400, "invalid_value")
    error = answer.json()["error"]
    assert (error["param"], error["type"]) == ("messages[0].content", "invalid_request_error")
    assert "Expected `str" in error["message"]


def test_a_key_that_is_none_is_named(owner: User) -> None:
    answer = Program.of(owner).post(CHAT, HELLO, **{"Idempotency-Key": "ü"})
    assert refusal(answer) == (400, "invalid_value")
    assert answer.json()["error"]["param"] == "Idempotency-Key"


def test_too_many_requests_say_when_to_come_back(owner: User, settings: Any) -> None:
    settings.RATE_LIMIT_REQUESTS = ((1, 60),)
    client = Program.of(owner)
    assert client.get("models").status_code == 200
    answer = client.get("models")
    assert refusal(answer) == (429, "rate_limit_exceeded")
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert 0 < int(answer["Retry-After"]) <= 60
    assert answer["RateLimit-Remaining"] == "0"


def test_questions_take_from_the_budget_of_asking_whatever_the_model(owner: User, settings: Any) -> None:
    settings.RATE_LIMIT_ASKS = ((2, 3600),)
    client = Program.of(owner)
    assert [client.post(CHAT, HELLO).status_code for _ in range(2)] == [200, 200]  # awaited by the server
    assert refusal(client.post(CHAT, HELLO)) == (429, "rate_limit_exceeded")
    assert client.get("models").status_code == 200


def test_without_redis_nothing_is_asked(owner: User, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    answer = Program.of(owner).post(CHAT, HELLO)
    assert refusal(answer) == (503, "unavailable")
    assert answer.json()["error"]["type"] == "server_error"
    assert Program.of(owner).get("models").status_code == 200


def test_an_answer_that_is_given_again_asks_nothing(
    owner: User, persona: Persona, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(views, "take_ask", lambda *_arguments: asked.append("asked"))
    monkeypatch.setattr(views, "find_asked", lambda **_arguments: object())
    assert Program.of(owner).post(CHAT, HELLO, **{"Idempotency-Key": "k"}).status_code == 200  # awaited by the server
    assert asked == []
    monkeypatch.setattr(views, "find_asked", lambda **_arguments: None)
    assert Program.of(owner).post(CHAT, HELLO, **{"Idempotency-Key": "k"}).status_code == 200
    assert asked == ["asked"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/api/v1/nothing"])
def test_an_address_that_there_is_not_says_so_to_every_method(path: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path).status_code == 404


def test_other_addresses_keep_their_own_shape(owner: User) -> None:
    answer = Program.of(owner).client.get("/api/v1/nothing")
    assert (answer["Content-Type"], answer.json()["code"]) == ("application/problem+json", "not_found")


def test_an_event_stream_may_be_all_that_is_accepted(owner: User) -> None:
    client = Program.of(owner, Accept="text/event-stream")
    assert client.get("models").status_code == 200
    assert refusal(client.post(CHAT, {})) == (400, "invalid_value")


# --- the schema


def test_the_schema_tells_of_it_with_its_own_errors() -> None:
    schema = Client().get("/api/schema/").json()
    assert {path for path in schema["paths"] if path.startswith("/v1/")} == {
        "/v1/models", "/v1/models/{model_id}", "/v1/chat/completions",
    }  # fmt: skip
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            assert (operation["responses"]["default"]["content"] == error) == path.startswith("/v1/")
    post = schema["paths"]["/v1/chat/completions"]["post"]
    assert {"bearer"} == {name for way in post["security"] for name in way}
    assert set(post["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"409", "413", "415", "422", "429", "502", "503", "504"} <= set(post["responses"])
    text = json.dumps(schema)
    names = set(schema["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names
    asked = schema["components"]["schemas"]["OpenAIChatCompletionRequest"]
    assert asked["required"] == ["model", "messages"]
