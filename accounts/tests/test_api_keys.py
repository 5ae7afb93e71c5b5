"""API keys: shown once, kept as a hash, good for their scopes, revoked at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts import api_keys, services
from accounts.models import ApiKey, User
from accounts.roles import Role
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.factories import make_admin, make_guest, make_user
from chatbot_project.lib.errors import ApplicationError

pytestmark = pytest.mark.django_db

KEYS = "auth/api-keys"


def make(user: User, **body):
    return ApiClient.of(user).post(KEYS, {"name": "script", "scopes": ["read"], **body})


def test_a_key_is_shown_once_and_only_its_hash_is_kept(owner: User) -> None:
    answer = make(owner)
    assert answer.status_code == 201
    text = answer.json()["key"]
    assert text.startswith("nono_sk_")
    assert len(text) == 51
    stored = [str(value) for value in ApiKey.objects.values_list().get()]
    assert not [value for value in stored if text in value or (len(value) > 12 and value in text)]
    listed = ApiClient.of(owner).get(KEYS)
    assert text.encode() not in listed.content
    (item,) = listed.json()["items"]
    assert item == {name: value for name, value in answer.json().items() if name != "key"}
    assert (item["name"], item["scopes"], item["prefix"], item["last_used_at"]) == ("script", ["read"], text[:12], None)


def test_a_key_shows_whose_it_is_in_one_query_and_when_it_was_used(owner: User, django_assert_num_queries) -> None:
    client = ApiClient(make(owner).json()["key"])
    assert client.get("me").json()["id"] == str(owner.pk)
    assert ApiKey.objects.get().last_used_at is not None
    with django_assert_num_queries(1):
        client.get("me")


def test_an_expired_key_is_none(owner: User) -> None:
    key = make(owner, expires_at=(timezone.now() + timedelta(hours=1)).isoformat()).json()["key"]
    assert ApiClient(key).get("me").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(ApiClient(key).get("me")) == (401, "invalid_token")


def test_a_revoked_key_is_none_and_unlisted(owner: User) -> None:
    made = make(owner).json()
    assert ApiClient.of(owner).delete(f"{KEYS}/{made['id']}").status_code == 204
    assert refusal(ApiClient(made["key"]).get("me")) == (401, "invalid_token")
    assert ApiClient.of(owner).get(KEYS).json()["items"] == []
    assert refusal(ApiClient.of(owner).delete(f"{KEYS}/{made['id']}")) == (404, "not_found")


def test_another_cannot_see_or_revoke_it(owner: User, other: User) -> None:
    made = make(owner).json()
    assert ApiClient.of(other).get(KEYS).json()["items"] == []
    missing = ApiClient.of(other).delete(f"{KEYS}/01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10")
    anothers = ApiClient.of(other).delete(f"{KEYS}/{made['id']}")
    assert refusal(anothers) == (404, "not_found")
    assert anothers.content == missing.content
    assert ApiClient(made["key"]).get("me").status_code == 200


def test_a_suspended_persons_key_is_none_until_they_are_back(owner: User) -> None:
    key = make(owner).json()["key"]
    admin = make_admin()
    services.set_suspended(actor=admin, user=owner, suspended=True, reason="x")
    assert refusal(ApiClient(key).get("me")) == (401, "invalid_token")
    services.set_suspended(actor=admin, user=owner, suspended=False, reason="x")
    assert ApiClient(key).get("me").status_code == 200


@pytest.mark.parametrize("text", ["nono_sk_", "nono_sk_x", "nono_sk_" + "x" * 43, "nono_sk_" + "ü" * 43])
def test_what_is_no_key_shows_nobody(owner: User, text: str) -> None:
    client = ApiClient(text.encode().decode("latin-1"))
    assert refusal(client.get("me")) == (401, "invalid_token")


def test_a_key_does_only_what_its_scopes_say(owner: User) -> None:
    chat_only = ApiClient.with_key(owner, Scope.CHAT)
    assert refusal(chat_only.get("me")) == (403, "scope_missing")
    assert ApiClient.with_key(owner, Scope.READ).get("me").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("get", KEYS, None),
        ("post", KEYS, {"name": "x", "scopes": ["read"]}),
        ("delete", f"{KEYS}/01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10", None),
        ("get", "sessions", None),
        ("delete", "sessions/01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10", None),
        ("patch", "me", {"language": "de"}),
        ("delete", "me", {"password": "x"}),
        ("post", "auth/password/change", {}),
        ("post", "auth/logout", {"all": True}),
    ],
)
def test_a_key_does_not_manage_the_account_it_belongs_to(owner: User, method: str, path: str, body) -> None:
    assert refusal(ApiClient.with_key(owner, *Scope).call(method, path, body)) == (403, "key_not_enough")


def test_guests_and_nobody_have_no_keys(db) -> None:
    assert refusal(make(make_guest())) == (403, "account_needed")
    assert refusal(ApiClient().get(KEYS)) == (401, "signed_out")
    assert refusal(ApiClient().post(KEYS, {"name": "x", "scopes": ["read"]})) == (401, "signed_out")
    with pytest.raises(ApplicationError, match="need an account"):
        api_keys.create_key(user=make_guest(), name="x", scopes=[Scope.READ])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \u202e "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": "read"}, "scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
    ],
)
def test_what_makes_no_key_is_named(owner: User, body: dict, field: str) -> None:
    answer = make(owner, **body)
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [field]


def test_what_a_client_may_not_set_is_ignored(owner: User, other: User) -> None:
    more = {"user": str(other.pk), "digest": "0" * 64, "prefix": "x", "id": "1", "last_used_at": "2020-01-01T00:00:00Z"}
    made = ApiClient.of(owner).post(KEYS, {"name": "script", "scopes": ["read"], **more})
    key = ApiKey.objects.get()
    assert (key.user, str(key.pk), key.last_used_at) == (owner, made.json()["id"], None)


def test_a_role_that_is_lost_is_lost_to_its_keys(db) -> None:
    moderator = make_user(role=Role.MODERATOR)
    client = ApiClient.with_key(moderator, Scope.READ)
    assert client.get("me").json()["role"] == "moderator"
    services.change_role(actor=make_admin(), user=moderator, role=Role.USER, reason="x")
    assert client.get("me").json()["role"] == "user"


def test_keys_are_listed_by_pages(owner: User, django_assert_max_num_queries) -> None:
    client = ApiClient.of(owner)
    ids = [str(api_keys.create_key(user=owner, name=f"{n}", scopes=[Scope.READ])[0].pk) for n in range(5)]
    with django_assert_max_num_queries(3):
        first = client.get(f"{KEYS}?limit=3").json()
    rest = client.get(f"{KEYS}?limit=3&cursor={first['next']}").json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    assert refusal(client.get(f"{KEYS}?limit=1000000000")) == (400, "invalid")


def test_the_same_idempotency_key_makes_one_key_and_shows_it_once(owner: User) -> None:
    client = ApiClient.of(owner, **{"Idempotency-Key": "abc"})
    body = {"name": "script", "scopes": ["read"]}
    assert client.post(KEYS, body).status_code == 201
    assert refusal(client.post(KEYS, body)) == (409, "answer_not_repeated")
    assert refusal(client.post(KEYS, {**body, "name": "y"})) == (422, "idempotency_key_reused")
    assert ApiKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_no_more_than_allowed_are_made(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MOST", 3)
    start = threading.Barrier(8)

    def make_one(number: int) -> str:
        try:
            start.wait(30)
            api_keys.create_key(user=owner, name=str(number), scopes=[Scope.READ])
            return "made"
        except ApplicationError as error:
            return error.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make_one, range(8))) == ["made"] * 3 + ["too_many_keys"] * 5
