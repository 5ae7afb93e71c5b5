"""The category tree: any depth, never a circle."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEvent
from chatbot_project.lib.errors import ApplicationError, NotFound
from faqs import services
from faqs.categories import (
    category_paths,
    create_category,
    delete_category,
    descendants,
    edit_category,
    move_category,
)
from faqs.models import Category
from faqs.state import knowledge_state
from faqs.tests.factories import make_category, make_faq
from faqs.tests.test_services import at_once

pytestmark = pytest.mark.django_db


def chain(length: int) -> list[Category]:
    made: list[Category] = []
    for _ in range(length):
        made.append(make_category(parent=made[-1] if made else None))
    return made


def test_a_branch_is_found_whole_in_one_query(django_assert_num_queries: Any) -> None:
    deep = chain(60)
    side = make_category(parent=deep[10])
    other = make_category("other")
    ids = [category.pk for category in deep]
    with django_assert_num_queries(1):
        assert descendants([deep[10].slug]) == {*ids[10:], side.pk}
    assert descendants([deep[58].pk, "other", deep[59].slug]) == {*ids[58:], other.pk}
    assert descendants([deep[0].pk]) == {*ids, side.pk}
    assert descendants(["absent"]) == descendants([]) == set()


def test_paths_come_in_the_order_of_the_tree(django_assert_num_queries: Any) -> None:
    b, a = make_category("b", position=1), make_category("a", position=2)
    y, x = make_category("y", parent=b, name="Y"), make_category("x", parent=b, name="X")
    with django_assert_num_queries(1):
        paths = category_paths()
    assert [[step.slug for step in path] for path in paths.values()] == [["b"], ["b", "x"], ["b", "y"], ["a"]]
    assert list(paths) == [b.pk, x.pk, y.pk, a.pk]


def test_a_slug_is_made_from_the_name() -> None:
    names = ["Zahlung & Rückgabe", "zahlung ruckgabe", "付款"]
    assert [create_category(actor=None, name=name).slug for name in names] == [
        "zahlung-ruckgabe", "zahlung-ruckgabe-2", "category",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "A", "slug": "taken"}, "slug"),
        ({"name": "A", "slug": "not a slug"}, "slug"),
        ({"name": "A", "description": "x" * 301}, "description"),
        ({"name": "A", "position": -1}, "position"),
    ],
)
def test_an_invalid_category_is_refused(fields: dict[str, Any], wrong: str) -> None:
    make_category("taken")
    with pytest.raises(ValidationError) as refusal:
        create_category(actor=None, **fields)
    assert set(refusal.value.message_dict) == {wrong}


def test_a_category_is_edited_moved_and_deleted_on_the_record() -> None:
    root, category = make_category("root"), make_category("leaf")
    edit_category(category=category, actor=None, name=" New  name ", position=4)
    before = knowledge_state().revision
    move_category(category=category, parent=root, actor=None)
    move_category(category=category, parent=root, actor=None)
    assert knowledge_state().revision == before + 1
    category.refresh_from_db()
    assert (category.slug, category.name, category.position, category.parent) == ("leaf", "New name", 4, root)
    delete_category(category=category, actor=None)
    actions = AuditEvent.objects.filter(object_id=str(category.pk)).values_list("action", flat=True)
    assert list(actions) == ["category.deleted", "category.moved", "category.edited"]
    with pytest.raises(NotFound):
        edit_category(category=category, actor=None, name="x")
    with pytest.raises(NotFound):
        create_category(actor=None, name="x", parent=category)


@pytest.mark.parametrize("below", [0, 1, 5])
def test_a_category_never_stands_below_itself(below: int) -> None:
    made = chain(6)
    with pytest.raises(ApplicationError) as refusal:
        move_category(category=made[0], parent=made[below], actor=None)
    assert (refusal.value.code, refusal.value.status) == ("category_cycle", 409)
    move_category(category=made[5], parent=None, actor=None)
    move_category(category=made[0], parent=made[5], actor=None)
    assert len(category_paths()) == 6


@pytest.mark.django_db(transaction=True)
def test_two_moves_at_once_make_no_circle() -> None:
    one, two = make_category(), make_category()
    for _ in range(5):
        Category.objects.update(parent=None)
        results = at_once(
            lambda: move_category(category=one, parent=two, actor=None),
            lambda: move_category(category=two, parent=one, actor=None),
        )
        (refused,) = [each for each in results if isinstance(each, ApplicationError)]
        assert refused.code == "category_cycle"
        assert len(category_paths()) == 2  # a circle would hang on no root


@pytest.mark.parametrize("content", ["category", "faq", "archived faq"])
def test_only_an_empty_category_is_deleted(content: str) -> None:
    category = make_category()
    if content == "category":
        make_category(parent=category)
    else:
        faq = make_faq(category=category)
        if content == "archived faq":
            services.archive_faqs(faqs=[faq], actor=None)
    with pytest.raises(ApplicationError) as refusal:
        delete_category(category=category, actor=None)
    assert refusal.value.code == "category_not_empty"


@pytest.mark.django_db(transaction=True)
def test_an_faq_put_into_a_category_that_is_being_deleted_is_refused_or_keeps_it() -> None:
    for number in range(5):
        category = make_category(f"c-{number}")

        def put(category: Category = category) -> Any:
            try:
                return make_faq(published=False, category=category)
            except ValidationError as error:
                return error

        def delete(category: Category = category) -> None:
            delete_category(category=category, actor=None)

        made, deleted = at_once(put, delete)
        was_refused = isinstance(made, ValidationError)
        assert was_refused == (deleted is None)
        assert Category.objects.filter(pk=category.pk).exists() != was_refused
