"""``Idempotency-Key``: the effect once, the same answer again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from accounts.tests.factories import make_user
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.tests import api_urls

from .api_client import URL, is_problem, post

pytestmark = pytest.mark.usefixtures("endpoints")


def test_the_same_key_has_its_effect_once_and_gives_the_same_answer(api: Client) -> None:
    first = post(api, "effects", {"a": 1, "b": [2]}, **{"Idempotency-Key": "k1"})
    again = api.post(
        f"{URL}/effects", b'{"b":[2],  "a":1}', content_type="application/json", headers={"Idempotency-Key": "k1"}
    )
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (201, {"number": 1})
    assert (again["Location"], again["Idempotent-Replayed"]) == ("/1", "true")
    assert "Idempotent-Replayed" not in first
    assert len(api_urls.effects) == 1


def test_without_a_key_or_with_another_it_happens_again(api: Client) -> None:
    for headers in ({}, {}, {"Idempotency-Key": "k1"}, {"Idempotency-Key": "k2"}):
        assert post(api, "effects", {}, **headers).status_code == 201
    assert len(api_urls.effects) == 4


def test_a_key_with_another_body_is_refused(api: Client) -> None:
    post(api, "effects", {"a": 1}, **{"Idempotency-Key": "k1"})
    is_problem(post(api, "effects", {"a": 2}, **{"Idempotency-Key": "k1"}), 422, "idempotency_key_reused")
    assert len(api_urls.effects) == 1


def test_a_key_belongs_to_its_person_and_address(api: Client) -> None:
    post(api, "effects", {}, **{"Idempotency-Key": "k1"})
    assert list(blocking_redis().scan_iter(f"idempotency:{api.session['_auth_user_id']}:*"))
    stranger = Client()
    stranger.force_login(make_user())
    assert post(stranger, "effects", {}, **{"Idempotency-Key": "k1"}).json() == {"number": 2}
    assert post(api, "effects?x=1", {}, **{"Idempotency-Key": "k1"}).json() == {"number": 3}


def test_a_refused_request_may_be_tried_again(api: Client) -> None:
    is_problem(post(api, "effects", {"fail": 1}, **{"Idempotency-Key": "k1"}), 409, "refused")
    is_problem(post(api, "effects", {"fail": 1}, **{"Idempotency-Key": "k1"}), 409, "refused")
    assert post(api, "effects", {}, **{"Idempotency-Key": "k1"}).status_code == 201


def test_an_answer_with_a_secret_is_not_told_twice_and_kept_nowhere(api: Client) -> None:
    assert post(api, "secrets", {}, **{"Idempotency-Key": "k1"}).status_code == 201
    is_problem(post(api, "secrets", {}, **{"Idempotency-Key": "k1"}), 409, "answer_not_repeated")
    assert api_urls.effects == ["secret"]
    kept = [blocking_redis().get(key) for key in blocking_redis().scan_iter("idempotency:*")]
    assert kept
    assert not any(b"nono_sk" in value for value in kept)


@pytest.mark.parametrize("key", ["", "k" * 256, "ü", "a\tb"])
def test_a_key_that_is_none_is_refused(key: str, api: Client) -> None:
    assert (
        "Idempotency-Key" in is_problem(post(api, "effects", {}, **{"Idempotency-Key": key}), 400, "invalid")["fields"]
    )
    assert api_urls.effects == []


def test_an_answer_is_kept_for_a_day(api: Client) -> None:
    post(api, "effects", {}, **{"Idempotency-Key": "k1"})
    (key,) = blocking_redis().scan_iter("idempotency:*")
    assert 86_000 < blocking_redis().ttl(key) <= 86_400


def test_without_redis_a_promise_is_not_made(api: Client, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    is_problem(post(api, "effects", {}, **{"Idempotency-Key": "k1"}), 503, "unavailable")
    assert api_urls.effects == []
    assert post(api, "effects", {}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_ten_at_once_one_works_and_the_others_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    person = make_user()
    inside, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        go_on.wait(60)

    monkeypatch.setattr(api_urls, "hold", hold)

    signed_in = Client()
    signed_in.force_login(person)

    def once(_number: int) -> Any:
        try:
            browser = Client()
            browser.cookies = signed_in.cookies
            return post(browser, "effects", {"wait": 1}, **{"Idempotency-Key": "k1"})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        answers = [threads.submit(once, number) for number in range(10)]
        assert inside.wait(60)
        others = list(iter_done(answers, 9))
        go_on.set()
        statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [201] + [409] * 9
    assert all(other.json()["code"] == "in_progress" for other in others)
    assert len(api_urls.effects) == 1
    assert once(0).json() == {"number": 1}


def iter_done(answers: list[Any], count: int) -> Iterator[Any]:
    """The first ``count`` results."""
    for number, answer in enumerate(as_completed(answers, timeout=60), 1):
        yield answer.result()
        if number == count:
            return
