"""What every endpoint of the API shares: one shape of errors, strict bodies, pages, conditions, budgets."""

import json
from itertools import chain
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from accounts.tests.factories import make_guest, make_user
from chatbot_project.lib.api.parsing import MAX_DEPTH, read_json
from chatbot_project.lib.errors import ApplicationError

from .api_client import URL, is_problem, post

pytestmark = pytest.mark.usefixtures("endpoints")

# --- errors


@pytest.mark.parametrize("kind", ["raise", "plain"])
@pytest.mark.parametrize(
    ("name", "status", "code", "fields"),
    [
        ("application", 418, "teapot", None),
        ("validation", 400, "invalid", {"title": ["Too long."], "body": ["Odd."]}),
        ("plain-validation", 400, "invalid", {"body": ["Odd."]}),
        ("database", 503, "unavailable", None),
        ("data", 400, "invalid", {"body": ["Some value cannot be stored."]}),
        ("fault", 500, "internal_error", None),
    ],
)
def test_whatever_is_raised_has_one_shape(
    kind: str, name: str, status: int, code: str, fields: Any, client: Client
) -> None:
    client.raise_request_exception = False
    body = is_problem(client.get(f"{URL}/{kind}/{name}"), status, code)
    assert body.get("fields") == fields
    assert "ZeroDivision" not in json.dumps(body)


def test_waiting_that_helps_is_said_in_body_and_header(client: Client) -> None:
    answer = client.get(f"{URL}/raise/application")
    assert (answer["Retry-After"], answer.json()["retry_after"]) == ("7", 7)


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing", "/api/v1/nothing/here/", "/api/v2/", "/api/test/"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_address_is_absent_in_the_one_shape_even_for_a_browser(
    path: str, method: str, client: Client
) -> None:
    is_problem(getattr(client, method)(path, headers={"Accept": "text/html"}), 404, "not_found")


def test_methods_formats_and_types_that_are_not_taken(client: Client) -> None:
    assert is_problem(client.get(f"{URL}/echo"), 405, "method_not_allowed")
    assert client.get(f"{URL}/echo")["Allow"] == client.options(f"{URL}/echo")["Allow"] == "POST, OPTIONS"
    is_problem(client.get(f"{URL}/people", headers={"Accept": "image/png"}), 406, "not_acceptable")
    is_problem(client.post(f"{URL}/echo", {"a": 1}), 415, "unsupported_media_type")
    is_problem(client.post(f"{URL}/echo", "<a/>", content_type="text/xml"), 415, "unsupported_media_type")


def test_an_unknown_host_is_refused_in_the_one_shape(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["good.example"]
    is_problem(client.get(f"{URL}/people", headers={"Host": "evil.example"}), 400, "malformed")


def test_what_is_invalid_is_named_by_its_place(client: Client) -> None:
    answer = post(client, "items", {"title": "far too long a title", "parts": [1, "x", 3]})
    fields = is_problem(answer, 400, "invalid")["fields"]
    assert set(fields) == {"title", "parts.1"}
    assert set(is_problem(post(client, "items", [1]), 400, "invalid")["fields"]) == {"body"}


@pytest.mark.django_db
def test_those_who_are_not_signed_in_are_told_how(client: Client) -> None:
    answer = post(client, "effects", {})
    is_problem(answer, 401, "signed_out")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("query", ["q=%00", "q=a%1Fb", "q=%ed%a0%80", "q=%ff", "%00=1", "q=" + "a" * 9000])
def test_addresses_with_text_that_cannot_be_stored_are_refused(query: str, client: Client) -> None:
    is_problem(client.get(f"{URL}/people?{query}"), 400, "malformed")


def test_a_path_with_a_control_character_is_refused(client: Client) -> None:
    is_problem(client.get(f"{URL}/raise/a%00b"), 400, "malformed")


@pytest.mark.django_db
def test_a_value_that_the_database_refuses_is_the_requests_fault(client: Client) -> None:
    is_problem(client.get(f"{URL}/number?n=99999999999999"), 400, "invalid")


# --- bodies


@pytest.mark.parametrize(
    "body",
    [
        b" ", b"{", b"nul", b"\xff", b'"\xed\xa0\x80"', b"[1,]", b"{'a': 1}", b"NaN", b"[Infinity]", b"-Infinity",
        b"1e999", b"-1e999", b"9" * 5000, b"-" + b"9" * 20, b"9223372036854775808", b'"a\\u0000b"',
        b'"\\ud800"', b'{"\\ud800": 1}', b'["\\udfff\\ud800"]', b'{"a": 1, "a": 2}', b"[" * 100_000,
        b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33, b'"a\x00b"', b'\xef\xbb\xbf{}',
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_meant_are_refused(body: bytes, client: Client) -> None:
    is_problem(post(client, "echo", body), 400, "malformed")


@pytest.mark.parametrize(
    "value",
    [
        {}, [], None, 0, 1.5, -(2**63), 2**63 - 1, "Grüße 🌍", "a\\b", "[[[[{{{{", '"]}', "\u202eabc",
        {"a": {"b": [1, {"c": "\\\\"}]}}, ["]" * 100],
    ],
)  # fmt: skip
def test_bodies_come_as_they_were_sent(value: Any, client: Client) -> None:
    assert post(client, "echo", value).json() == {"data": value}


def test_depth_counts_no_brackets_within_texts() -> None:
    assert read_json(b'["' + b"[" * 1000 + b'\\"[[[[[["]') == ["[" * 1000 + '"[[[[[[']
    assert read_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_of_json_comes_through(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200) | st.text(alphabet='[]{}",:\\u0d8e1-. nulltrue', max_size=60).map(str.encode))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes) -> None:
    refusal = None
    try:
        read_json(body)
    except ApplicationError as error:
        refusal = error.code
    assert refusal in (None, "malformed")


def test_a_body_without_its_length_is_not_taken_for_an_empty_one(client: Client) -> None:
    answer = client.generic("POST", f"{URL}/echo", headers={"Transfer-Encoding": "chunked"})
    is_problem(answer, 411, "length_required")


def test_bodies_are_bounded_and_a_view_may_take_more(client: Client) -> None:
    body = json.dumps("x" * (1024 * 1024)).encode()
    is_problem(post(client, "echo", body), 413, "too_large")
    assert post(client, "large", body).status_code == 200
    is_problem(post(client, "large", json.dumps("x" * (2 * 1024 * 1024)).encode()), 413, "too_large")


# --- pages


def pages(client: Client, **query: Any) -> list[list[str]]:
    found: list[list[str]] = []
    while True:
        answer = client.get(f"{URL}/people", query).json()
        found.append(answer["items"])
        if answer["next"] is None:
            return found
        query["cursor"] = answer["next"]


def joined(found: list[list[str]]) -> list[str]:
    return list(chain.from_iterable(found))


@pytest.fixture
def people(db: None) -> list[str]:
    return [make_user(username=f"p{n:02}", language="de" if n % 2 else "en").username for n in range(8)]


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 100])
def test_pages_make_up_the_list(limit: int, people: list[str], client: Client) -> None:
    got = pages(client, limit=limit)
    assert joined(got) == people
    assert [len(page) for page in got[:-1]] == [limit] * (len(got) - 1)
    assert joined(pages(client, limit=limit, ordering="-created_at")) == people[::-1]
    english, german = people[::2], people[1::2]
    assert joined(pages(client, limit=limit, ordering="mixed")) == english + german


def test_new_rows_neither_shift_nor_repeat_any(people: list[str], client: Client) -> None:
    first = client.get(f"{URL}/people", {"ordering": "-created_at"}).json()
    make_user(username="newest")
    rest = pages(client, ordering="-created_at", cursor=first["next"])
    assert first["items"] + joined(rest) == people[::-1]


def test_a_page_is_one_query(people: list[str], client: Client, django_assert_num_queries: Any) -> None:
    cursor = client.get(f"{URL}/people").json()["next"]
    with django_assert_num_queries(1):
        client.get(f"{URL}/people", {"cursor": cursor, "limit": 100})


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e9", "1000000000", "9" * 5000, "", "x", "1.0", "٣", " 3"])
def test_page_sizes_are_bounded(limit: str, client: Client) -> None:
    assert "limit" in is_problem(client.get(f"{URL}/people", {"limit": limit}), 400, "invalid")["fields"]


def test_cursors_are_ours_and_of_this_list(people: list[str], client: Client) -> None:
    cursor = client.get(f"{URL}/people").json()["next"]
    for bad in ("x", cursor[:-1], cursor + "A", "x" * 5000, ":", "é"):
        body = is_problem(client.get(f"{URL}/people", {"cursor": bad}), 400, "invalid")
        assert "cursor" in body["fields"]
    elsewhere = client.get(f"{URL}/people", {"cursor": cursor, "ordering": "mixed"})
    assert "cursor" in is_problem(elsewhere, 400, "invalid")["fields"]
    assert "ordering" in is_problem(client.get(f"{URL}/people", {"ordering": "password"}), 400, "invalid")["fields"]


# --- conditional requests


def test_what_is_known_is_not_sent_again(client: Client) -> None:
    etag = client.get(f"{URL}/versioned")["ETag"]
    for header in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = client.get(f"{URL}/versioned", headers={"If-None-Match": header})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
    assert client.get(f"{URL}/versioned", headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_change_of_what_was_changed_meanwhile_is_refused(client: Client) -> None:
    etag = client.get(f"{URL}/versioned")["ETag"]
    for header in (etag, f'"other", {etag}', "*"):
        assert client.patch(f"{URL}/versioned", headers={"If-Match": header}).status_code == 200
    for header in ('"other"', f"W/{etag}", "", "nonsense", etag.strip('"')):
        answer = client.patch(f"{URL}/versioned", headers={"If-Match": header})
        is_problem(answer, 412, "precondition_failed")
    assert client.patch(f"{URL}/versioned").status_code == 200


# --- budgets


def test_every_answer_says_how_the_budget_stands(api: Client, settings: Any) -> None:
    settings.RATE_LIMIT_REQUESTS = ((3, 60), (1000, 3600))
    left = [api.get(f"{URL}/people")["RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = api.get(f"{URL}/people")
    body = is_problem(refused, 429, "rate_limited")
    assert refused["RateLimit-Limit"] == "3"
    assert refused["RateLimit-Remaining"] == "0"
    assert 50 <= int(refused["Retry-After"]) == int(refused["RateLimit-Reset"]) == body["retry_after"] <= 60


def test_refused_requests_count_against_nobody_but_reads_and_writes_share_a_budget(api: Client, settings: Any) -> None:
    settings.RATE_LIMIT_REQUESTS = ((2, 60),)
    assert api.get(f"{URL}/people").status_code == 200
    assert post(api, "effects", {}).status_code == 201
    assert post(api, "effects", {}).status_code == 429
    assert Client().get(f"{URL}/people").status_code == 200


@pytest.mark.django_db
def test_strangers_and_guests_share_the_budget_of_their_address(settings: Any) -> None:
    settings.RATE_LIMIT_ADDRESS, settings.RATE_LIMIT_GUEST = ((5, 60),), ((3, 60),)
    guest = Client()
    guest.force_login(make_guest())
    assert [guest.get(f"{URL}/people").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [Client().get(f"{URL}/people").status_code for _ in range(3)] == [200, 200, 429]
    assert Client().get(f"{URL}/people", REMOTE_ADDR="192.0.2.1").status_code == 200


def test_without_redis_reads_go_on(api: Client, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/at-all.sock"
    answer = api.get(f"{URL}/people")
    assert answer.status_code == 200
    assert "RateLimit-Limit" not in answer


# --- other sites


def test_only_listed_sites_may_call_and_never_with_a_cookie(client: Client, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    good = client.options(f"{URL}/echo", headers={"Origin": "https://app.example.org", **asked})
    assert (good.status_code, good["Access-Control-Allow-Origin"]) == (200, "https://app.example.org")
    assert "authorization" in good["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in good
    for origin in ("https://evil.example", "https://app.example.org.evil.example", "http://app.example.org", "null"):
        refused = client.options(f"{URL}/echo", headers={"Origin": origin, **asked})
        assert "Access-Control-Allow-Origin" not in refused
    page = client.get("/accounts/sign-in/", headers={"Origin": "https://app.example.org"})
    assert "Access-Control-Allow-Origin" not in page
