"""Calls the JSON API as a program does: a bearer's header, JSON in and out."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import api_keys, families
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.factories import make_admin, make_guest, make_moderator, make_user
from chatbot_project.lib.redis import blocking_redis

BASE = "/api/v1/"


class ApiClient:
    """``token`` is an access token or API key; empty for nobody."""

    def __init__(self, token: str = "", **headers: str) -> None:
        self.client = Client(raise_request_exception=True)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.headers |= headers

    @classmethod
    def of(cls, user: User, **headers: str) -> "ApiClient":
        """A program that ``user`` signed in to."""
        return cls(families.open_family(user=user, device="test").access, **headers)

    @classmethod
    def with_key(cls, user: User, *scopes: Scope) -> "ApiClient":
        """A program with an API key of ``user``."""
        return cls(api_keys.create_key(user=user, name="test", scopes=scopes)[1])

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        data = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(BASE + path, headers={**self.headers, **headers}, **data)

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self.call("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("post", path, {} if body is None else body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> HttpResponse:
        return self.call("put", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> HttpResponse:
        return self.call("patch", path, body, **headers)

    def delete(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.call("delete", path, body, **headers)


def refusal(answer: HttpResponse) -> tuple[int, str]:
    """Status and code of an error, which has the one shape of errors."""
    assert answer["Content-Type"] == "application/problem+json", (answer.status_code, answer.content)
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["detail"]
    return answer.status_code, body["code"]


#: Who may call. A key that is named only by its scope is a moderator's.
CALLERS: Mapping[str, Callable[[], ApiClient]] = {
    "nobody": ApiClient,
    "guest": lambda: ApiClient.of(make_guest()),
    "user": lambda: ApiClient.of(make_user()),
    "a user's key for staff": lambda: ApiClient.with_key(make_user(), Scope.READ, Scope.STAFF),
    "a key to read": lambda: ApiClient.with_key(make_moderator(), Scope.READ),
    "a key for staff": lambda: ApiClient.with_key(make_moderator(), Scope.STAFF),
    "moderator": lambda: ApiClient.of(make_moderator()),
    "admin": lambda: ApiClient.of(make_admin()),
}
#: Those who have nothing of what a role adds, and how they are refused it.
OUTSIDERS: Mapping[str, tuple[int, str]] = {
    "nobody": (401, "signed_out"),
    "guest": (403, "forbidden"),
    "user": (403, "forbidden"),
    "a user's key for staff": (403, "forbidden"),
    "a key to read": (403, "scope_missing"),
}


@pytest.fixture(autouse=True)
def fresh_budgets() -> Iterator[None]:
    """Nobody is refused for what other tests asked."""
    yield
    blocking_redis().flushdb()
