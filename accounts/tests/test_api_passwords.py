"""Forgotten and changed passwords over the JSON API."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import api_keys, families, tokens
from accounts.models import User
from accounts.scopes import Scope
from accounts.tests.api_client import ApiClient, refusal
from accounts.tests.conftest import signed_in_person
from accounts.tests.factories import PASSWORD, make_guest, make_user

pytestmark = pytest.mark.django_db

NEW = "another correct horse"
RESET, CONFIRM, CHANGE = "auth/password/reset", "auth/password/reset/confirm", "auth/password/change"


def login(email: str, password: str):
    return ApiClient().post("auth/login", {"email": email, "password": password})


def test_a_forgotten_password_is_set_anew_by_mail(owner: User, mailed_link, browser) -> None:
    pair, page = families.open_family(user=owner), browser(owner)
    key = api_keys.create_key(user=owner, name="x", scopes=[Scope.READ])[1]
    assert ApiClient().post(RESET, {"email": owner.email.upper()}).status_code == 202
    token = mailed_link().rstrip("/").rpartition("/")[2]
    assert ApiClient().post(CONFIRM, {"token": token, "new_password": NEW}).status_code == 204
    assert login(owner.email, NEW).status_code == 200
    assert login(owner.email, PASSWORD).status_code == 401
    assert ApiClient(pair.access).get("me").status_code == 401
    assert ApiClient(key).get("me").status_code == 401, "whoever had the account may have made a key"
    assert signed_in_person(page) is None
    assert refusal(ApiClient().post(CONFIRM, {"token": token, "new_password": PASSWORD})) == (404, "dead_link")


def test_asking_for_a_reset_tells_nothing(owner: User, delivered) -> None:
    answers, work = [], []
    for email in (owner.email, "ghost@example.org"):
        with CaptureQueriesContext(connection) as queries:
            answers.append(ApiClient().post(RESET, {"email": email}))
        work.append([re.sub(r"'[^']*'", "", query["sql"]) for query in queries])
    assert answers[0].status_code == answers[1].status_code == 202
    assert answers[0].content == answers[1].content
    assert work[0] == work[1]
    assert [message.to for message in delivered()] == [[owner.email]]


def test_one_address_gets_only_so_many_mails(owner: User, delivered) -> None:
    codes = [ApiClient().post(RESET, {"email": owner.email}).status_code for _ in range(8)]
    assert codes == [202] * 6 + [429] * 2
    assert len(delivered()) == 6


@pytest.mark.parametrize("password", ["short", "12345678901", "password", "owner@example.org"])
def test_a_weak_password_is_refused_and_the_link_still_works(owner: User, password: str) -> None:
    token = tokens.reset_token(owner)
    answer = ApiClient().post(CONFIRM, {"token": token, "new_password": password})
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == ["new_password"]
    assert ApiClient().post(CONFIRM, {"token": token, "new_password": NEW}).status_code == 204


@pytest.mark.parametrize("token", ["x", "", "a:b:c"])
def test_a_forged_token_resets_nothing(owner: User, token: str) -> None:
    answer = ApiClient().post(CONFIRM, {"token": token, "new_password": NEW})
    assert refusal(answer) == ((404, "dead_link") if token else (400, "invalid"))


def test_a_suspended_person_resets_nothing(owner: User) -> None:
    token = tokens.reset_token(owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)
    assert refusal(ApiClient().post(CONFIRM, {"token": token, "new_password": NEW})) == (404, "dead_link")


def test_a_program_that_changes_the_password_gets_new_tokens(owner: User, browser) -> None:
    here, elsewhere, page = families.open_family(user=owner), families.open_family(user=owner), browser(owner)
    answer = ApiClient(here.access).post(CHANGE, {"password": PASSWORD, "new_password": NEW})
    assert answer.status_code == 200
    assert ApiClient(answer.json()["access"]).get("me").status_code == 200
    assert ApiClient().post("auth/refresh", {"refresh": answer.json()["refresh"]}).status_code == 200
    for pair in (here, elsewhere):
        assert ApiClient(pair.access).get("me").status_code == 401
        assert ApiClient().post("auth/refresh", {"refresh": pair.refresh}).status_code == 401
    assert signed_in_person(page) is None
    assert login(owner.email, NEW).status_code == 200


def test_a_page_that_changes_the_password_stays_signed_in(owner: User, browser) -> None:
    page, elsewhere = browser(owner), browser(owner)
    body = {"password": PASSWORD, "new_password": NEW}
    assert page.post("/api/v1/auth/password/change", body, content_type="application/json").status_code == 204
    assert signed_in_person(page) == str(owner.pk)
    assert signed_in_person(elsewhere) is None


@pytest.mark.parametrize(("revoke", "status"), [(False, 200), (True, 401), (None, 200)])
def test_keys_survive_a_changed_password_unless_told_otherwise(owner: User, revoke: bool | None, status: int) -> None:
    key = api_keys.create_key(user=owner, name="x", scopes=[Scope.READ])[1]
    body = {"password": PASSWORD, "new_password": NEW} | ({} if revoke is None else {"revoke_api_keys": revoke})
    assert ApiClient.of(owner).post(CHANGE, body).status_code == 200
    assert ApiClient(key).get("me").status_code == status


def test_a_wrong_present_password_changes_nothing_and_counts_as_a_try(owner: User) -> None:
    client = ApiClient.of(owner)
    body = {"password": "wrong", "new_password": NEW}
    codes = [refusal(client.post(CHANGE, body)) for _ in range(7)]
    assert codes == [(403, "wrong_password")] * 6 + [(429, "too_many_tries")]
    assert User.objects.get(pk=owner.pk).check_password(PASSWORD)


def test_who_may_not_change_a_password(owner: User) -> None:
    body = {"password": PASSWORD, "new_password": NEW}
    assert refusal(ApiClient().post(CHANGE, body)) == (401, "signed_out")
    assert refusal(ApiClient.of(make_guest()).post(CHANGE, body)) == (403, "account_needed")
    assert refusal(ApiClient.with_key(owner, *Scope).post(CHANGE, body)) == (403, "key_not_enough")
    passwordless = make_user()
    assert refusal(ApiClient.of(passwordless).post(CHANGE, body)) == (403, "wrong_password")
