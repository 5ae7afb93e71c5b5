"""Editors over the API: who may change what, in the admin's own way, and that nobody overwrites another unawares."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.scopes import Scope
from accounts.tests.api_client import (
    CALLERS,
    OUTSIDERS,
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_admin, make_moderator, make_user
from faqs import services, tasks
from faqs.models import FAQ, Category, FAQVersion, Phrasing
from faqs.phrasings import phrasings_of
from faqs.services import lock_faq
from faqs.state import knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db

NEW = {"question": "Where is it?", "answer": "Here."}


@pytest.fixture
def moderator() -> ApiClient:
    return ApiClient.of(make_moderator(username="mod"))


@pytest.fixture
def faq() -> FAQ:
    return make_faq("Where is the key?", "Under the mat.", phrasings=["The key?"])


def state() -> list[Any]:
    models = (FAQ, FAQVersion, Phrasing, Category)
    return [list(model.objects.order_by("pk").values()) for model in models]


# --- Who may

READS = ["versions", "versions/1", "diff"]
WRITES = [
    ("post", "faqs", NEW),
    ("put", "faqs/{faq}", NEW),
    ("patch", "faqs/{faq}", {"answer": "Elsewhere."}),
    ("post", "faqs/{faq}/publish", {}),
    ("post", "faqs/{faq}/archive", {}),
    ("post", "faqs/{faq}/unarchive", {}),
    ("post", "faqs/{faq}/phrasings", {"text": "Which mat?"}),
    ("post", "faqs/{faq}/restore", {"number": 1}),
    ("put", "faqs/{faq}/translations/{other}", None),
    ("delete", "faqs/{faq}/translations/{linked}", None),
    ("post", "faqs/import", "question,answer\nWho?,Me.\n"),
    ("post", "faq-categories", {"name": "New"}),
    ("patch", "faq-categories/top", {"name": "Other"}),
    ("delete", "faq-categories/top", None),
]


@pytest.fixture
def places() -> dict[str, Any]:
    faq, linked = make_faq(), make_faq(language="de")
    services.edit_faq(faq=faq, actor=None, answer="Second")
    link_translation(faq=faq, other=linked, actor=None)
    make_category("top")
    return {"faq": faq.pk, "linked": linked.pk, "other": make_faq(language="fr").pk}


def call(client: ApiClient, method: str, path: str, body: Any) -> Any:
    if path == "faqs/import":
        return client.client.post(f"/api/v1/{path}", body, content_type="text/csv", headers=client.headers)
    return client.call(method, path, body)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_only_editors_change_anything(method: str, path: str, body: Any, places: dict[str, Any]) -> None:
    before = state()
    for who, expected in OUTSIDERS.items():
        assert refusal(call(CALLERS[who](), method, path.format(**places), body)) == expected, who
        absent = path.format(**dict.fromkeys(places, uuid4()))
        assert refusal(call(CALLERS[who](), method, absent, body)) == expected, "absent or not, it is the same"
    assert state() == before
    assert call(CALLERS["a key for staff"](), method, path.format(**places), body).status_code in (200, 201, 204)


@pytest.mark.parametrize("path", READS)
def test_only_editors_read_the_history(path: str, places: dict[str, Any]) -> None:
    for who, expected in OUTSIDERS.items():
        assert refusal(CALLERS[who]().get(f"faqs/{places['faq']}/{path}")) == expected
    assert refusal(CALLERS["user"]().get("faqs/export")) == (403, "forbidden")
    assert CALLERS["moderator"]().get(f"faqs/{places['faq']}/{path}").status_code == 200


def test_only_an_admin_deletes_for_good(faq: FAQ, moderator: ApiClient) -> None:
    for who, expected in OUTSIDERS.items():
        assert refusal(CALLERS[who]().delete(f"faqs/{faq.pk}")) == expected
    assert refusal(moderator.delete(f"faqs/{faq.pk}")) == (403, "forbidden")
    admin = ApiClient.of(make_admin())
    assert refusal(admin.delete(f"faqs/{faq.pk}", None, **{"If-Match": '"old"'})) == (412, "precondition_failed")
    assert admin.delete(f"faqs/{faq.pk}").status_code == 204
    assert refusal(admin.delete(f"faqs/{faq.pk}")) == (404, "not_found")
    assert AuditEvent.objects.get(action="faq.deleted").object_id == str(faq.pk)


# --- Writing


def test_from_a_draft_to_what_readers_find_and_back(moderator: ApiClient, django_capture_on_commit_callbacks) -> None:
    keeper = make_moderator(username="keeper")
    make_category("keys")
    more = {
        "language": "EN",
        "category": "keys",
        "tags": ["mat", " mat "],
        "visibility": "users",
        "owner": "keeper",
        "phrasings": ["The  key?", "Where is it?"],
        "note": "First",
        "valid_from": "2026-01-01T00:00:00Z",
    }
    made = moderator.post("faqs", {**NEW, **more})
    assert made.status_code == 201, made.content
    body = made.json()
    assert made["Location"] == f"/api/v1/faqs/{body['id']}"
    assert (body["status"], body["version"], body["owner"]) == ("draft", 1, keeper.username)
    assert (body["language"], body["tags"], body["phrasings"]) == ("en", ["mat"], ["The key?"])
    assert (body["category"], body["visibility"], body["valid_from"]) == ("keys", "users", "2026-01-01T00:00:00Z")
    reader = ApiClient.of(make_user())
    assert refusal(reader.get(f"faqs/{body['id']}")) == (404, "not_found")
    before = knowledge_state().revision
    with django_capture_on_commit_callbacks() as told:
        published = moderator.post(f"faqs/{body['id']}/publish", {}, **{"If-Match": made["ETag"]})
    assert published.json()["status"] == "published"
    assert knowledge_state().revision == before + 1
    assert told, "vectors and matcher are queued once it stands"
    assert reader.get(f"faqs/{body['id']}").json()["answer"] == "Here."
    assert moderator.post(f"faqs/{body['id']}/archive").json()["status"] == "archived"
    assert refusal(reader.get(f"faqs/{body['id']}")) == (404, "not_found")
    assert refusal(moderator.post(f"faqs/{body['id']}/publish")) == (409, "not_publishable")
    assert moderator.post(f"faqs/{body['id']}/unarchive").json()["status"] == "draft"
    events = (
        AuditEvent.objects.filter(object_id=body["id"]).order_by("pk").values_list("action", "actor__person__username")
    )
    actions = ["faq.created", "faq.published", "faq.archived", "faq.unarchived"]
    assert list(events) == [(action, "mod") for action in actions]


def test_a_published_change_queues_embedding(
    faq: FAQ, moderator: ApiClient, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    queued = []
    monkeypatch.setattr(tasks.embed_phrasings, "apply_async", lambda *args, **options: queued.append(options))
    with django_capture_on_commit_callbacks(execute=True):
        moderator.patch(f"faqs/{faq.pk}", {"phrasings": ["Is there a key?"]})
    assert len(queued) == 1


def test_what_is_left_out_stays_or_goes_back_to_its_default(faq: FAQ, moderator: ApiClient) -> None:
    services.edit_faq(faq=faq, actor=None, tags=["mat"], category=make_category("keys"))
    patched = moderator.patch(f"faqs/{faq.pk}", {"answer": "In the shed.", "note": "Moved"}).json()
    assert (patched["answer"], patched["tags"], patched["phrasings"]) == ("In the shed.", ["mat"], ["The key?"])
    assert (patched["category"], patched["version"]) == ("keys", 3)
    assert moderator.patch(f"faqs/{faq.pk}", {}).json() == patched
    put = moderator.call("put", f"faqs/{faq.pk}", NEW).json()
    assert (put["question"], put["answer"], put["version"]) == ("Where is it?", "Here.", 4)
    assert (put["tags"], put["phrasings"], put["category"]) == ([], [], None)
    assert (put["status"], put["published_at"]) == (patched["status"], patched["published_at"])
    notes = FAQVersion.objects.filter(faq=faq).order_by("number").values_list("note", "author__username")
    assert list(notes)[2:] == [("Moved", "mod"), ("", "mod")]


def test_what_nobody_may_set_is_ignored(faq: FAQ, moderator: ApiClient) -> None:
    more = {
        "status": "archived",
        "version": 9,
        "id": str(uuid4()),
        "drafted_by": "x",
        "translation_group": str(uuid4()),
    }
    body = moderator.patch(f"faqs/{faq.pk}", {"answer": "There.", **more}).json()
    assert (body["id"], body["status"], body["version"], body["drafted_by"]) == (str(faq.pk), "published", 2, "")
    group = faq.translation_group
    faq.refresh_from_db()
    assert faq.translation_group == group


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"question": ""}, "question"),
        ({"question": "?!"}, "question"),
        ({"question": "x" * 501}, "question"),
        ({"question": None}, "question"),
        ({"answer": " \n "}, "answer"),
        ({"answer": "\u200b\u202e"}, "answer"),
        ({"answer": "x" * 20_001}, "answer"),
        ({"language": "english"}, "language"),
        ({"category": "nowhere"}, "category"),
        ({"category": ""}, "category"),
        ({"category": 1}, "category"),
        ({"tags": "x"}, "tags"),
        ({"tags": [str(n) for n in range(21)]}, "tags"),
        ({"visibility": "everyone"}, "visibility"),
        ({"valid_until": "tomorrow"}, "valid_until"),
        ({"valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}, "valid_until"),
        ({"owner": "nobody"}, "owner"),
        ({"owner": "plain"}, "owner"),
        ({"phrasings": ["?"]}, "phrasings"),
        ({"phrasings": ["x" * 501]}, "phrasings.0"),
        ({"note": "x" * 201}, "note"),
    ],
)
def test_what_an_faq_cannot_be_is_named(faq: FAQ, moderator: ApiClient, change: dict[str, Any], field: str) -> None:
    make_user(username="plain")
    before = state()
    for answer in (moderator.patch(f"faqs/{faq.pk}", change), moderator.post("faqs", {**NEW, **change})):
        assert refusal(answer) == (400, "invalid")
        assert list(answer.json()["fields"]) == [field]
    assert state() == before


def test_an_faq_whose_time_is_over_is_not_published(moderator: ApiClient) -> None:
    faq = make_faq(published=False, valid_until=timezone.now() - timedelta(days=1))
    assert refusal(moderator.post(f"faqs/{faq.pk}/publish")) == (409, "not_publishable")


def test_a_phrasing_more(faq: FAQ, moderator: ApiClient) -> None:
    body = moderator.post(f"faqs/{faq.pk}/phrasings", {"text": "Which  mat?"}).json()
    assert (body["phrasings"], body["version"]) == (["The key?", "Which mat?"], 2)
    assert moderator.post(f"faqs/{faq.pk}/phrasings", {"text": "Which mat?"}).json()["version"] == 2
    assert refusal(moderator.post(f"faqs/{faq.pk}/phrasings", {"text": "?"})) == (400, "invalid")
    assert phrasings_of(faq) == ["The key?", "Which mat?"]


def test_translations_are_linked_and_parted(faq: FAQ, moderator: ApiClient) -> None:
    german, other = make_faq("Wo?", language="de"), make_faq("Who?")
    linked = moderator.call("put", f"faqs/{faq.pk}/translations/{german.pk}").json()["translations"]
    assert linked == [{"id": str(german.pk), "language": "de", "question": "Wo?", "status": "published"}]
    assert refusal(moderator.call("put", f"faqs/{faq.pk}/translations/{other.pk}")) == (409, "translation_exists")
    assert refusal(moderator.patch(f"faqs/{german.pk}", {"language": "en"})) == (409, "translation_exists")
    assert refusal(moderator.call("put", f"faqs/{faq.pk}/translations/{uuid4()}")) == (404, "not_found")
    assert moderator.delete(f"faqs/{faq.pk}/translations/{german.pk}").status_code == 204
    for pk in (german.pk, faq.pk, uuid4()):
        assert refusal(moderator.delete(f"faqs/{faq.pk}/translations/{pk}")) == (404, "not_found")


# --- History


def test_versions_are_listed_compared_and_brought_back(faq: FAQ, moderator: ApiClient) -> None:
    keys = make_category("keys")
    services.edit_faq(faq=faq, actor=None, answer="In the shed.", category=keys, note="Moved")
    lines = moderator.get(f"faqs/{faq.pk}/versions").json()["items"]
    assert [(line["number"], line["note"], line["author"]) for line in lines] == [(2, "Moved", None), (1, "", None)]
    past = moderator.get(f"faqs/{faq.pk}/versions/1").json()
    assert (past["answer"], past["category"], past["phrasings"]) == ("Under the mat.", None, ["The key?"])
    assert moderator.get(f"faqs/{faq.pk}/versions/2").json()["category"] == "keys"
    diff = moderator.get(f"faqs/{faq.pk}/diff").json()
    assert (diff["old"], diff["new"], [each["name"] for each in diff["changes"]]) == ("1", "2", ["answer", "category"])
    assert diff["changes"][1]["lines"] == [{"kind": "added", "text": "Keys"}]
    backwards = moderator.get(f"faqs/{faq.pk}/diff?old=2&new=1").json()["changes"][0]["lines"]
    assert backwards == [{"kind": "removed", "text": "In the shed."}, {"kind": "added", "text": "Under the mat."}]
    restored = moderator.post(f"faqs/{faq.pk}/restore", {"number": 1}).json()
    assert (restored["version"], restored["answer"], restored["status"]) == (3, "Under the mat.", "published")
    assert AuditEvent.objects.get(action="faq.restored").details == {"copy_of": 1}


def test_versions_that_there_are_not(faq: FAQ, moderator: ApiClient) -> None:
    for path in ("versions/2", "versions/0", "versions/99999999999999999999", "diff"):
        assert refusal(moderator.get(f"faqs/{faq.pk}/{path}")) == (404, "not_found")
    for query in ("old=1&new=9", "old=1", "old=x&new=1", "old=²&new=1"):
        assert refusal(moderator.get(f"faqs/{faq.pk}/diff?{query}")) == (400, "invalid")
    for number in (9, 0, 2**31, "x"):
        assert refusal(moderator.post(f"faqs/{faq.pk}/restore", {"number": number})) == (400, "invalid")


def test_a_history_costs_the_same_however_long(faq: FAQ, moderator: ApiClient, django_assert_max_num_queries) -> None:
    for number in range(12):
        services.edit_faq(faq=faq, actor=make_moderator(), answer=f"Answer {number}")
    with django_assert_max_num_queries(5):
        first = moderator.get(f"faqs/{faq.pk}/versions?limit=10").json()
    rest = moderator.get(f"faqs/{faq.pk}/versions?limit=10&cursor={first['next']}").json()
    assert [line["number"] for line in first["items"] + rest["items"]] == list(range(13, 0, -1))


# --- Two at once


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [row for row in WRITES if row[1].startswith("faqs/{faq}") and "translations" not in row[1]],
)
def test_what_was_changed_meanwhile_is_not_overwritten(
    method: str, path: str, body: Any, moderator: ApiClient, places: dict[str, Any]
) -> None:
    read = moderator.get(f"faqs/{places['faq']}")
    services.edit_faq(faq=FAQ(pk=places["faq"]), actor=None, answer="Somebody else's")
    before = state()
    path = path.format(**places)
    answer = moderator.call(method, path, body, **{"If-Match": read["ETag"]})
    assert refusal(answer) == (412, "precondition_failed")
    assert state() == before
    fresh = moderator.get(f"faqs/{places['faq']}")["ETag"]
    assert moderator.call(method, path, body, **{"If-Match": f'"x", {fresh}'}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_many_who_edit_what_they_read_at_once_one_does() -> None:
    faq, person = make_faq(), make_moderator()
    category = make_category("keys")
    read = ApiClient.of(person).get(f"faqs/{faq.pk}")["ETag"]

    def edit(number: int) -> int:
        body = {"answer": f"Answer {number}", "category": category.slug if number % 2 else None}
        return ApiClient.of(person).patch(f"faqs/{faq.pk}", body, **{"If-Match": read}).status_code

    assert sorted(at_a_lock(5, lambda: lock_faq(faq), edit)) == [200] + [412] * 4
    assert FAQVersion.objects.filter(faq=faq).count() == 2


def test_a_repeated_request_has_its_effect_once(moderator: ApiClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = moderator.post("faqs", NEW, **key), moderator.post("faqs", NEW, **key)
    assert (again.status_code, again.json(), again["Location"]) == (201, first.json(), first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert FAQ.objects.count() == 1


def test_a_key_to_write_edits_nothing(faq: FAQ) -> None:
    client = ApiClient.with_key(make_moderator(), Scope.READ, Scope.WRITE, Scope.CHAT)
    assert refusal(client.patch(f"faqs/{faq.pk}", {"answer": "x"})) == (403, "scope_missing")
