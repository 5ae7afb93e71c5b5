"""FAQs in and out as files over the API: whole or not at all, and no formula reaches a spreadsheet."""

import csv
import io
import json
from typing import Any

import pytest
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEvent
from accounts.scopes import Scope
from accounts.tests.api_client import (
    CALLERS,
    OUTSIDERS,
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.factories import make_admin, make_moderator
from faqs import services
from faqs.models import FAQ, Category, FAQVersion, Phrasing
from faqs.state import knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.tests.test_import_fuzz import CATEGORIES, ENTRIES

pytestmark = pytest.mark.django_db

TWO = "question,answer,category\r\nWhere?,Here.,House\r\nWho?,Me.,\r\n"


@pytest.fixture
def moderator() -> ApiClient:
    return ApiClient.of(make_moderator(username="mod"))


def send(client: ApiClient, data: Any, query: str = "", media: str = "text/csv", **headers: str) -> HttpResponse:
    path = f"/api/v1/faqs/import{query}"
    return client.client.post(path, data, content_type=media, headers={**client.headers, **headers})


def stored() -> list[int]:
    return [model.objects.count() for model in (FAQ, Category, FAQVersion, Phrasing, AuditEvent)]


def test_a_dry_run_tells_of_each_row_and_changes_nothing(moderator: ApiClient) -> None:
    kept = make_faq("Who?", "You.", published=False)
    before = stored()
    report = send(moderator, TWO, "?dry_run=true&create_categories=true").json()
    assert report["applied"] is False
    assert report["counts"] == {"created": 1, "changed": 1, "unchanged": 0, "refused": 0}
    assert report["categories"] == ["House"]
    assert report["rows"] == [
        {"line": 2, "outcome": "created", "question": "Where?", "faq": None, "fields": [], "reason": ""},
        {"line": 3, "outcome": "changed", "question": "Who?", "faq": str(kept.pk), "fields": ["answer"], "reason": ""},
    ]
    assert stored() == before
    refused = send(moderator, TWO, "?dry_run=true")
    assert refused.status_code == 200
    assert refused.json()["counts"]["refused"] == 1
    assert "House" in refused.json()["rows"][0]["reason"]


def test_an_import_does_what_the_dry_run_said(moderator: ApiClient) -> None:
    before = knowledge_state().revision
    report = send(moderator, TWO, "?create_categories=true&publish=true").json()
    assert (report["applied"], report["counts"]["created"]) == (True, 2)
    assert FAQ.objects.get(question="Where?").category.name == "House"
    assert set(FAQ.objects.values_list("status", flat=True)) == {"published"}
    assert knowledge_state().revision == before + 1
    event = AuditEvent.objects.get(action="faqs.imported")
    assert (event.actor.person.username, event.details["created"]) == ("mod", 2)
    assert send(moderator, TWO).json()["counts"]["unchanged"] == 2


def test_one_row_that_is_refused_stops_all(moderator: ApiClient) -> None:
    before = stored()
    answer = send(moderator, "question,answer,language\nGood?,Yes.,en\n,No question.,en\nBad?,x,english\n")
    assert refusal(answer) == (409, "import_refused")
    fields = answer.json()["fields"]
    assert set(fields) == {"3", "4"}
    assert "language" in fields["4"][0]
    assert stored() == before


@pytest.mark.parametrize(
    ("data", "media"),
    [
        ("", "text/csv"),
        ("hello", "text/csv"),
        ("question,answer,more\nA?,b,c\n", "text/csv"),
        (b"question,answer\nA?,\xff\n", "text/csv"),
        ('question,answer\n"A?,b\n', "text/csv"),
        ("[" * 100_000, "application/json"),
        ("{", "application/json"),
        ('{"faqs": 1}', "application/json"),
        ('{"faqs": [], "more": []}', "application/json"),
        ('{"faqs": [], "categories": [{"slug": "a"}]}', "application/json"),
    ],
)
def test_what_is_no_file_of_faqs_is_refused(data: Any, media: str, moderator: ApiClient) -> None:
    before = stored()
    assert refusal(send(moderator, data, media=media)) == (400, "bad_import_file")
    assert stored() == before


def test_other_formats_are_not_taken(moderator: ApiClient) -> None:
    for media in (
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        assert refusal(send(moderator, TWO, media=media)) == (415, "unsupported_media_type")
    for query in ("?dry_run=perhaps", "?publish=2", "?create_categories=x"):
        assert refusal(send(moderator, TWO, query)) == (400, "invalid")
    assert not FAQ.objects.exists()


def test_a_file_that_is_too_large_is_not_read(moderator: ApiClient, settings: Any) -> None:
    settings.IMPORT_BODY_BYTES = 40
    assert refusal(send(moderator, TWO)) == (413, "too_large")
    assert send(moderator, "question,answer\nA?,b\n").status_code == 200
    large = "question,answer\n" + "".join(f"Q{n}?,{'x' * 1000}\n" for n in range(1200))
    settings.IMPORT_BODY_BYTES = 5 * 1024 * 1024
    assert len(large) > 1024 * 1024, "larger than other bodies may be"
    assert send(moderator, large).json()["counts"]["created"] == 1200


def test_the_same_file_under_one_key_is_imported_once(moderator: ApiClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = (
        send(moderator, TWO, "?create_categories=1", **key),
        send(moderator, TWO, "?create_categories=1", **key),
    )
    assert first.json()["counts"]["created"] == 2
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    other = send(moderator, TWO.replace("Me", "You"), "?create_categories=1", **key)
    assert refusal(other) == (422, "idempotency_key_reused")


# --- Export


def rows(answer: HttpResponse) -> list[dict[str, str]]:
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def test_an_export_holds_all_or_what_the_filters_leave(moderator: ApiClient) -> None:
    cards = make_category("cards")
    make_faq("A?", category=make_category("gold", parent=cards), tags=["x"])
    make_faq("B?", language="de", visibility="staff", published=False)
    services.archive_faqs(faqs=[make_faq("C?")], actor=None)

    def asked(query: str) -> list[str]:
        return [row["question"] for row in rows(moderator.get(f"faqs/export{query}"))]

    assert asked("") == ["A?", "B?", "C?"]
    assert asked("?status=draft") == asked("?language=de") == ["B?"]
    assert asked("?category=cards") == asked("?tag=x") == ["A?"]
    assert refusal(moderator.get("faqs/export?format=xml")) == (400, "invalid")
    assert refusal(moderator.get("faqs/export?status=secret")) == (400, "invalid")


@pytest.mark.parametrize(("kind", "media"), [("csv", "text/csv"), ("json", "application/json")])
def test_what_was_exported_comes_back_as_it_was(kind: str, media: str, moderator: ApiClient) -> None:
    make_faq("=1+1?", "- a\n- b", phrasings=["+1?", "@x?"], tags=["a, b", "[c]"], category=make_category("top"))
    for accepted in ("*/*", media, "text/csv", "image/png"):
        answer = moderator.get(f"faqs/export?format={kind}", Accept=accepted)
        assert answer["Content-Type"] == f"{media}; charset=utf-8"
        assert answer["Content-Disposition"].endswith(f'.{kind}"')
        assert answer["Cache-Control"] == "no-store"
    report = send(moderator, answer.content, media=media).json()
    assert report["counts"] == {"created": 0, "changed": 0, "unchanged": 1, "refused": 0}


def test_no_cell_of_an_export_is_a_formula(moderator: ApiClient) -> None:
    make_faq('=HYPERLINK("http://x")?', "+1\n-2\n@SUM(A1)\n\t=3", phrasings=["=cmd|' /C calc'!A0?"], tags=["@tag"])
    (row,) = rows(moderator.get("faqs/export"))
    for cell in row.values():
        assert not any(line.startswith(("=", "+", "-", "@", "\t", "\r")) for line in cell.split("\n"))
    assert row["question"].startswith("'=HYPERLINK")


@pytest.mark.parametrize("who", OUTSIDERS)
def test_only_editors_export(who: str) -> None:
    make_faq("Secret?", visibility="staff")
    for query in ("", "?format=json", "?status=draft"):
        answer = CALLERS[who]().get(f"faqs/export{query}", Accept="text/csv")
        assert refusal(answer) == OUTSIDERS[who]
        assert b"Secret" not in answer.content


def test_a_key_without_the_scope_for_staff_neither_takes_nor_gives_files() -> None:
    client = ApiClient.with_key(make_admin(), Scope.READ, Scope.WRITE)
    assert refusal(client.get("faqs/export")) == (403, "scope_missing")
    assert refusal(send(client, TWO)) == (403, "scope_missing")
    assert send(ApiClient.with_key(make_admin(), Scope.STAFF), TWO, "?create_categories=1").status_code == 200


# --- Any bytes


@pytest.fixture
def unlimited(settings: Any) -> None:
    settings.RATE_LIMIT_REQUESTS = ()


def import_whole_or_not_at_all(client: ApiClient, data: bytes, media: str) -> None:
    before = stored()
    answer = send(client, data, "?create_categories=true&publish=true", media)
    assert answer.status_code in (200, 400, 409), answer.content
    if answer.status_code != 200:
        assert refusal(answer)[1] in ("bad_import_file", "import_refused")
        assert stored() == before
        return
    report = answer.json()
    assert (report["applied"], report["counts"]["refused"]) == (True, 0)
    assert FAQ.objects.count() == before[0] + report["counts"]["created"]
    assert Category.objects.count() == before[1] + len(report["categories"])


in_database = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(data=st.binary(max_size=200) | st.builds(lambda rest: b"question,answer\n" + rest, st.binary(max_size=200)))
@in_database
def test_any_bytes_are_imported_whole_or_not_at_all(unlimited: None, moderator: ApiClient, data: bytes) -> None:
    import_whole_or_not_at_all(moderator, data, "text/csv")


@given(entries=ENTRIES, categories=CATEGORIES)
@in_database
def test_any_json_is_imported_whole_or_not_at_all(
    unlimited: None, moderator: ApiClient, entries: list[Any], categories: list[Any]
) -> None:
    data = json.dumps({"faqs": entries, "categories": categories}).encode()
    import_whole_or_not_at_all(moderator, data, "application/json")
