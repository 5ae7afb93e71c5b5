"""The category tree over the API: always a tree, shown as far as it holds something for whoever asks."""

from typing import Any

import pytest

from accounts.models import AuditEvent
from accounts.tests.api_client import (
    ApiClient,
    fresh_budgets,  # noqa: F401  fixture
    refusal,
)
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_moderator
from faqs.locks import lock_shape
from faqs.models import Category
from faqs.tests.factories import make_category, make_faq

pytestmark = pytest.mark.django_db


@pytest.fixture
def moderator() -> ApiClient:
    return ApiClient.of(make_moderator())


def state() -> list[Any]:
    return list(Category.objects.order_by("pk").values())


def test_the_tree_is_shown_with_its_paths_and_counts(moderator: ApiClient) -> None:
    house = make_category("house", position=1)
    cellar = make_category("cellar", parent=house)
    make_category("attic", parent=house)
    make_faq(category=cellar)
    make_faq(category=house, visibility="staff")
    shown = ApiClient().get("faq-categories").json()["items"]
    assert [(item["slug"], item["faqs"], item["parent"]) for item in shown] == [
        ("house", 1, None),
        ("cellar", 1, "house"),
    ]
    assert shown[1]["path"] == [{"slug": "house", "name": "House"}, {"slug": "cellar", "name": "Cellar"}]
    every = moderator.get("faq-categories?empty=true").json()["items"]
    assert [(item["slug"], item["faqs"]) for item in every] == [("house", 2), ("attic", 0), ("cellar", 1)]


def test_categories_are_made_changed_moved_and_deleted(moderator: ApiClient) -> None:
    assert moderator.post("faq-categories", {"name": "The House"}).json()["slug"] == "the-house"
    made = moderator.post("faq-categories", {"name": "Cellar", "slug": "cellar", "parent": "the-house", "position": 3})
    assert (made.status_code, made["Location"]) == (201, "/api/v1/faq-categories/cellar")
    assert [step["slug"] for step in made.json()["path"]] == ["the-house", "cellar"]
    changed = moderator.patch("faq-categories/cellar", {"name": "Vault", "parent": None, "slug": "vault"})
    assert (changed.json()["slug"], changed.json()["name"], changed.json()["parent"]) == ("cellar", "Vault", None)
    assert changed.json()["position"] == 3
    stale = {"If-Match": made["ETag"]}
    assert refusal(moderator.patch("faq-categories/cellar", {"name": "x"}, **stale)) == (412, "precondition_failed")
    assert refusal(moderator.delete("faq-categories/cellar", None, **stale)) == (412, "precondition_failed")
    assert moderator.delete("faq-categories/cellar", None, **{"If-Match": changed["ETag"]}).status_code == 204
    assert refusal(moderator.delete("faq-categories/cellar")) == (404, "not_found")
    actions = AuditEvent.objects.filter(action__startswith="category.").order_by("pk").values_list("action", flat=True)
    expected = ["created", "created", "moved", "edited", "deleted"]
    assert list(actions) == [f"category.{each}" for each in expected]


def test_no_category_stands_below_itself(moderator: ApiClient) -> None:
    top = make_category("top")
    make_category("leaf", parent=make_category("middle", parent=top))
    before = state()
    for parent in ("top", "middle", "leaf"):
        answer = moderator.patch("faq-categories/top", {"parent": parent, "name": "Renamed"})
        assert refusal(answer) == (409, "category_cycle")
    assert state() == before, "neither moved nor renamed"


def test_a_category_that_is_not_empty_stays(moderator: ApiClient) -> None:
    make_faq(category=make_category("full"), published=False)
    make_category("below", parent=make_category("above"))
    for slug in ("full", "above"):
        assert refusal(moderator.delete(f"faq-categories/{slug}")) == (409, "category_not_empty")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "slug": "a b"}, "slug"),
        ({"name": "x", "slug": "taken"}, "slug"),
        ({"name": "x", "parent": "nowhere"}, "parent"),
        ({"name": "x", "parent": ""}, "parent"),
        ({"name": "x", "position": -1}, "position"),
        ({"name": "x", "position": 2**31}, "position"),
        ({"name": "\u202e"}, "name"),
    ],
)
def test_what_is_no_category_is_named(body: dict[str, Any], field: str, moderator: ApiClient) -> None:
    make_category("taken")
    answer = moderator.post("faq-categories", body)
    assert (refusal(answer), list(answer.json()["fields"])) == ((400, "invalid"), [field])
    assert Category.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_who_change_what_they_read_at_once_one_does() -> None:
    make_category("top")
    person = make_moderator()
    read = ApiClient.of(person).get("faq-categories/top")["ETag"]

    def edit(number: int) -> int:
        client = ApiClient.of(person)
        return client.patch("faq-categories/top", {"name": f"n{number}"}, **{"If-Match": read}).status_code

    assert sorted(at_a_lock(5, lock_shape, edit)) == [200] + [412] * 4
    assert AuditEvent.objects.filter(action="category.edited").count() == 1
