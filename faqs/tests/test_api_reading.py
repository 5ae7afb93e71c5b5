"""FAQs over the API as readers have them: nobody is told of what is not meant for them, whichever way they ask."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.scopes import Scope
from accounts.tests.api_client import (
    CALLERS,
    OUTSIDERS,
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.factories import make_guest, make_moderator, make_user
from faqs import services
from faqs.models import FAQ, FAQFeedback
from faqs.tests.factories import make_category, make_faq, make_index
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db

ONLY_EDITORS = {"status", "visibility", "valid_from", "valid_until", "published_at", "owner", "drafted_by"}
QUESTION = "Where is the key to the cellar?"
GUESTS, USERS, STAFF = ["guests"], ["guests", "users"], ["guests", "staff", "users"]
#: The audiences that each caller belongs to, and whether they are told what editors are told.
SEEN = {
    "nobody": (GUESTS, False),
    "guest": (GUESTS, False),
    "user": (USERS, False),
    "a user's key for staff": (USERS, False),
    "a key to read": (USERS, False),
    "a key for staff": (STAFF, True),
    "moderator": (STAFF, True),
    "admin": (STAFF, True),
}


@pytest.fixture
def crowd() -> dict[str, FAQ]:
    """FAQs that ask the same, named by why somebody may or may not read them. All hang together as translations."""
    now, day = timezone.now(), timedelta(days=1)
    make: Mapping[str, dict[str, Any]] = {
        "guests": {},
        "users": {"visibility": "users"},
        "staff": {"visibility": "staff"},
        "draft": {"published": False},
        "later": {"valid_from": now + day},
        "over": {"valid_until": now + day},
        "archived": {},
    }
    category = make_category("cellar")
    languages = iter(["en", "de", "fr", "es", "it", "nl", "pt"])
    faqs = {
        name: make_faq(QUESTION, f"Ask {name}.", language=next(languages), tags=[name], category=category, **fields)
        for name, fields in make.items()
    }
    first = faqs["guests"]
    for other in list(faqs.values())[1:]:
        link_translation(faq=first, other=other, actor=None)
    services.archive_faqs(faqs=[faqs["archived"]], actor=None)
    make_index()
    FAQ.objects.filter(pk=faqs["over"].pk).update(valid_from=now - 2 * day, valid_until=now - day)
    return faqs


def listed(client: ApiClient, query: str = "") -> list[str]:
    answer = client.get(f"faqs{query}")
    assert answer.status_code == 200, answer.content
    return sorted(item["tags"][0] for item in answer.json()["items"])


@pytest.mark.parametrize("who", SEEN)
def test_each_lists_what_is_meant_for_them(who: str, crowd: dict[str, FAQ]) -> None:
    client, (seen, is_editor) = CALLERS[who](), SEEN[who]
    assert listed(client) == listed(client, "?category=cellar") == seen
    for item in client.get("faqs").json()["items"]:
        assert ONLY_EDITORS.isdisjoint(item) != is_editor
    for name in crowd:
        assert listed(client, f"?tag={name}") == ([name] if name in seen else [])


@pytest.mark.parametrize("who", SEEN)
def test_each_opens_what_is_meant_for_them_and_hears_of_no_other_translation(who: str, crowd: dict[str, FAQ]) -> None:
    client, (seen, is_editor) = CALLERS[who](), SEEN[who]
    unknown = client.get(f"faqs/{uuid4()}")
    assert refusal(unknown) == (404, "not_found")
    for name, faq in crowd.items():
        answer = client.get(f"faqs/{faq.pk}")
        if name not in seen and not is_editor:
            assert answer.status_code == 404
            assert answer.content == unknown.content
            continue
        body = answer.json()
        assert body["answer"] == f"Ask {name}."
        told = {item["id"] for item in body["translations"]}
        known = {str(crowd[other].pk) for other in (set(crowd) - {"archived"} if is_editor else seen)}
        assert told == known - {str(faq.pk)}
        assert ("phrasings" in body) == is_editor


@pytest.mark.parametrize("who", SEEN)
def test_each_finds_what_is_meant_for_them(who: str, crowd: dict[str, FAQ]) -> None:
    client, (seen, _is_editor) = CALLERS[who](), SEEN[who]
    for faq in crowd.values():
        answer = client.get(f"faqs/search?q=key+to+the+cellar&language={faq.language}&limit=20")
        assert answer.status_code == 200
        (match,) = answer.json()["items"]  # of translations, one
        assert match["answer"].removeprefix("Ask ").rstrip(".") in seen


@pytest.mark.parametrize("who", [who for who in SEEN if who not in ("nobody", "a key to read", "a key for staff")])
def test_each_says_of_what_is_meant_for_them_whether_it_helped(who: str, crowd: dict[str, FAQ]) -> None:
    client, (seen, _is_editor) = CALLERS[who](), SEEN[who]
    if who == "a user's key for staff":
        client = ApiClient.with_key(make_user(), Scope.WRITE)
    unknown = client.post(f"faqs/{uuid4()}/feedback", {"helpful": True})
    for name, faq in crowd.items():
        answer = client.post(f"faqs/{faq.pk}/feedback", {"helpful": True})
        assert answer.status_code == (200 if name in seen else 404)
        if name not in seen:
            assert answer.content == unknown.content
    assert FAQFeedback.objects.count() == len(seen)


@pytest.mark.parametrize("who", SEEN)
def test_a_category_that_holds_nothing_for_somebody_is_absent(who: str) -> None:
    for name in ("guests", "users", "staff"):
        make_faq(f"What do {name} ask?", visibility=name, category=make_category(name))
    make_faq("Drafted?", published=False, category=make_category("drafts"))
    client, (seen, is_editor) = CALLERS[who](), SEEN[who]
    assert sorted(item["slug"] for item in client.get("faq-categories").json()["items"]) == seen
    for name in ("guests", "users", "staff", "drafts"):
        assert client.get(f"faq-categories/{name}").status_code == (200 if name in seen or is_editor else 404)


# --- What only editors may ask for


def test_editors_list_by_status(crowd: dict[str, FAQ]) -> None:
    for client in (ApiClient.of(make_moderator()), ApiClient.with_key(make_moderator(), Scope.STAFF)):
        assert listed(client, "?status=any") == sorted(crowd)
        assert listed(client, "?status=draft") == ["draft"]
        assert listed(client, "?status=archived") == ["archived"]
        assert listed(client, "?status=published") == ["guests", "later", "over", "staff", "users"]
        assert refusal(client.get("faqs?status=secret")) == (400, "invalid")


@pytest.mark.parametrize("path", ["faqs?status=draft", "faqs?status=any", "faq-categories?empty=true"])
@pytest.mark.parametrize("who", OUTSIDERS)
def test_others_may_not_ask_for_what_only_editors_see(who: str, path: str, crowd: dict[str, FAQ]) -> None:
    expected = (403, "forbidden") if who == "a key to read" else OUTSIDERS[who]
    assert refusal(CALLERS[who]().get(path)) == expected


# --- Lists


@pytest.mark.parametrize("who", ["nobody", "moderator"])
def test_a_list_goes_by_pages_and_costs_the_same_however_long(who: str, django_assert_max_num_queries: Any) -> None:
    for number in range(25):
        make_faq(f"Question {number:02}?", category=make_category(), owner=make_moderator())
    client = CALLERS[who]()
    with django_assert_max_num_queries(4):
        first = client.get("faqs?limit=20").json()
    rest = client.get(f"faqs?limit=20&cursor={first['next']}").json()
    questions = [item["question"] for item in first["items"] + rest["items"]]
    assert questions == [f"Question {number:02}?" for number in range(25)]
    assert rest["next"] is None
    with django_assert_max_num_queries(5):
        assert len(client.get("faq-categories").json()["items"]) == 25


def test_orders_and_filters() -> None:
    parent = make_category("house")
    make_faq("A?", language="en", tags=["x", "y"], category=parent)
    make_faq("B?", language="de-at", tags=["y"], category=make_category("cellar", parent=parent))
    make_faq("C?", language="de")

    def asked(query: str) -> str:
        return "".join(item["question"][0] for item in ApiClient().get(f"faqs?{query}").json()["items"])

    assert asked("ordering=-question") == "CBA"
    assert asked("ordering=updated_at") == "ABC"
    assert asked("ordering=-updated_at") == "CBA"
    assert asked("language=de") == "BC"
    assert asked("language=DE_AT") == "B"
    assert asked("tag=y") == "AB"
    assert asked("category=house") == "AB"
    assert asked("category=cellar") == "B"
    assert asked("category=nowhere") == ""
    assert asked("category=house&language=en&tag=x") == "A"


@pytest.mark.parametrize(
    "query",
    [
        "language=english",
        "language=",
        "tag=",
        "status=",
        "language=%",
        "category=a/b",
        "limit=0",
        "limit=1000",
        "ordering=answer",
        "cursor=x",
    ],
)
def test_what_no_list_takes_is_named(query: str) -> None:
    answer = ApiClient().get(f"faqs?{query}")
    assert refusal(answer) == (400, "invalid")
    assert list(answer.json()["fields"]) == [query.partition("=")[0]]


# --- One FAQ


def test_an_answer_comes_as_markdown_and_as_safe_html() -> None:
    faq = make_faq("Bold?", "**Yes** <img src=x onerror=alert(1)> [link](javascript:alert(1))")
    body = ApiClient().get(f"faqs/{faq.pk}").json()
    assert body["answer"].startswith("**Yes** <img")
    assert "<strong>Yes</strong>" in body["answer_html"]
    assert "<img" not in body["answer_html"]
    assert 'href="javascript' not in body["answer_html"]


def test_what_is_known_is_not_sent_again_until_anything_of_it_changes() -> None:
    faq, other = make_faq("Where?"), make_faq("Wo?", language="de")
    moderator = ApiClient.of(make_moderator())
    tags = [moderator.get(f"faqs/{faq.pk}")["ETag"]]
    for change in (
        lambda: services.edit_faq(faq=faq, actor=None, answer="There."),
        lambda: services.edit_faq(faq=faq, actor=None, phrasings=["Whither?"]),
        lambda: services.edit_faq(faq=faq, actor=None, owner=make_moderator()),
        lambda: link_translation(faq=faq, other=other, actor=None),
        lambda: services.archive_faqs(faqs=[faq], actor=None),
    ):
        same = moderator.get(f"faqs/{faq.pk}", **{"If-None-Match": tags[-1]})
        assert (same.status_code, same.content, same["ETag"]) == (304, b"", tags[-1])
        change()
        changed = moderator.get(f"faqs/{faq.pk}", **{"If-None-Match": tags[-1]})
        assert changed.status_code == 200
        tags.append(changed["ETag"])
    assert len(set(tags)) == len(tags)


# --- Asking


@pytest.fixture
def bank() -> dict[str, FAQ]:
    cards = make_category("cards")
    faqs = {
        "password": make_faq("How do I reset my password?", "Use the link.", phrasings=["I forgot my password"]),
        "card": make_faq("Where is my new card?", "In the mail.", category=cards),
        "fees": make_faq("What does a transfer abroad cost?", "Two euros."),
    }
    make_index()
    return faqs


def test_a_question_finds_its_faq_and_says_how_sure_that_is(
    bank: dict[str, FAQ], django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(8):
        body = ApiClient().get("faqs/search?q=i+forgot+my+password").json()
    best = body["items"][0]
    assert (best["id"], best["phrasing"], best["answer"]) == (
        str(bank["password"].pk),
        "I forgot my password",
        "Use the link.",
    )
    assert 0.9 < best["confidence"] <= 1
    assert 0 < best["score"] <= 1
    assert (body["language"], body["below_floor"]) == ("en", False)
    assert body["outside"] < 0.1


def test_a_search_stays_within_its_category_and_limit(bank: dict[str, FAQ]) -> None:
    items = ApiClient().get("faqs/search?q=password&category=cards").json()["items"]
    assert [(item["id"], item["category"]) for item in items] == [(str(bank["card"].pk), "cards")]
    nothing = ApiClient().get("faqs/search?q=password&category=nowhere").json()
    assert (nothing["items"], nothing["outside"], nothing["below_floor"]) == ([], 1.0, True)
    assert len(ApiClient().get("faqs/search?q=card&limit=2").json()["items"]) == 2


@pytest.mark.parametrize(
    "query", ["", "q=", "q=+", "q=a&category=", "q=" + "a" * 1001, "q=a&limit=21", "q=a&limit=x", "q=a&language=x"]
)
def test_what_no_search_takes_is_refused(query: str) -> None:
    assert refusal(ApiClient().get(f"faqs/search?{query}")) == (400, "invalid")


@pytest.mark.parametrize("query", ["%27+OR+1%3D1+--", "%25s+%7By%7D", "%F0%9F%99%82", "%E2%80%AE", "a%26%7C!()%3A*"])
def test_odd_questions_do_no_harm(query: str, bank: dict[str, FAQ]) -> None:
    assert ApiClient().get(f"faqs/search?q={query}").status_code == 200


def test_uncounted_nobody_has_a_model_asked_but_reads_go_on(bank: dict[str, FAQ], settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert refusal(ApiClient().get("faqs/search?q=password")) == (503, "unavailable")
    assert ApiClient().get("faqs").status_code == 200


# --- Saying whether it helped


def test_the_last_word_counts_once_per_person() -> None:
    faq, person = make_faq(), ApiClient.of(make_guest())
    first = person.post(f"faqs/{faq.pk}/feedback", {"helpful": False, "comment": " Wrong\u202e page "})
    assert (first.json()["helpful"], first.json()["comment"], first.json()["version"]) == (False, "Wrong page", 1)
    assert person.post(f"faqs/{faq.pk}/feedback", {"helpful": True}).json()["comment"] == ""
    ApiClient.of(make_user()).post(f"faqs/{faq.pk}/feedback", {"helpful": True})
    assert sorted(FAQFeedback.objects.values_list("helpful", flat=True)) == [True, True]


def test_a_key_without_the_scope_for_staff_judges_nothing_of_theirs() -> None:
    path = f"faqs/{make_faq(visibility='staff').pk}/feedback"
    moderator = make_moderator()
    without = ApiClient.with_key(moderator, Scope.READ, Scope.WRITE).post(path, {"helpful": True})
    assert refusal(without) == (404, "not_found")
    assert ApiClient.with_key(moderator, Scope.WRITE, Scope.STAFF).post(path, {"helpful": True}).status_code == 200


def test_nobody_has_no_word_and_a_key_needs_the_scope() -> None:
    path = f"faqs/{make_faq().pk}/feedback"
    assert refusal(ApiClient().post(path, {"helpful": True})) == (401, "signed_out")
    assert refusal(ApiClient.with_key(make_user(), Scope.READ).post(path, {"helpful": True})) == (403, "scope_missing")
    assert ApiClient.with_key(make_user(), Scope.WRITE).post(path, {"helpful": True}).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "helpful"), ({"helpful": "perhaps"}, "helpful"), ({"helpful": True, "comment": "x" * 1001}, "comment")],
)
def test_what_is_no_word_is_named(body: dict[str, Any], field: str) -> None:
    answer = ApiClient.of(make_user()).post(f"faqs/{make_faq().pk}/feedback", body)
    assert (refusal(answer), list(answer.json()["fields"])) == ((400, "invalid"), [field])
    assert not FAQFeedback.objects.exists()
