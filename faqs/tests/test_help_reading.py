"""The category tree as readers see it, and marked words. Pure."""

from html import escape, unescape
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faqs.lookup import fuse
from faqs.models import Category
from faqs.reading import excerpt, grow_tree, is_language, language_name, mark


def node(number: int, parent: int | None = None) -> Category:
    return Category(pk=UUID(int=number), parent_id=UUID(int=parent) if parent else None, name=f"C{number}")


def names(branches: object) -> list[str]:
    return [branch.category.name for branch in branches]


def test_a_branch_counts_what_is_below_it_and_empty_ones_are_left_out() -> None:
    tree = grow_tree([node(1), node(2, 1), node(3, 2), node(4, 1), node(5)], {UUID(int=3): 2, UUID(int=1): 1})
    (root,) = tree.roots
    assert (root.own, root.total, names(root.children)) == (1, 3, ["C2"])
    assert names(root.subtree) == ["C1", "C2", "C3"]
    assert names(tree.branches[UUID(int=3)].path) == ["C1", "C2", "C3"]
    assert UUID(int=4) not in tree.branches


def test_the_side_shows_the_roots_and_the_way_to_what_is_open() -> None:
    categories = [node(1), node(2, 1), node(3, 2), node(4), node(5, 4)]
    tree = grow_tree(categories, {category.pk: 1 for category in categories})
    assert names(tree.opened_to(None)) == ["C1", "C4"]
    assert names(tree.opened_to(tree.branches[UUID(int=1)])) == ["C1", "C2", "C4"]
    assert names(tree.opened_to(tree.branches[UUID(int=3)])) == ["C1", "C2", "C3", "C4"]


def test_a_deep_tree_and_a_parent_that_is_missing_do_no_harm() -> None:
    deep = [node(number, number - 1 or None) for number in range(1, 100)]
    tree = grow_tree([*deep, node(200, 150)], {UUID(int=99): 1, UUID(int=200): 1})
    assert names(tree.roots) == ["C1", "C200"]
    assert tree.roots[0].total == 1
    assert tree.branches[UUID(int=99)].shown_depth == 5


def test_two_lists_are_fused_by_rank() -> None:
    a, b, c, d = (UUID(int=number) for number in range(4))
    assert fuse([a, b], [c, d]) == [a, c, b, d]
    assert fuse([a, b, c], [c]) == [c, a, b]
    assert fuse([], [d]) == [d]


def test_words_that_begin_like_a_term_are_marked_and_all_else_is_escaped() -> None:
    assert mark("My passwords <b>", ["pass"]) == "My <mark>passwords</mark> &lt;b&gt;"
    assert mark("a<b>x", ["<b>x"]) == "a<mark>&lt;b&gt;x</mark>"
    assert mark("compass", ["pass"]) == "compass"
    assert mark("a b", ["a"]) == "a b"


@given(st.text(max_size=80), st.lists(st.text(max_size=8), max_size=4))
def test_marking_neither_loses_a_letter_nor_lets_markup_through(text: str, terms: list[str]) -> None:
    marked = mark(text, terms).replace("<mark>", "").replace("</mark>", "")
    assert "<" not in marked
    assert unescape(marked) == unescape(escape(text))


def test_an_excerpt_is_plain_text() -> None:
    assert excerpt("# Title\n\nSome **bold** &amp; <script>x</script> [link](https://e.org)") == (
        "Title Some bold & <script>x</script> link"
    )


@pytest.mark.parametrize(
    ("code", "wish", "expected"), [("en", "en-gb", True), ("pt-br", "pt", True), ("de", "en", False)]
)
def test_a_region_is_the_same_language(code: str, wish: str, expected: bool) -> None:
    assert is_language(code, wish) is expected


def test_a_language_is_called_what_it_calls_itself() -> None:
    assert (language_name("de"), language_name("pt-br"), language_name("xx")) == (
        "Deutsch", "Português Brasileiro", "xx",
    )  # fmt: skip
