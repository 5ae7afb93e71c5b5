"""Whatever the file, an import ends in a report or in one clear error, and is done whole or not at all."""

import csv
import io
import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatbot_project.lib.cells import escape, unescape
from faqs.models import FAQ, Category, FAQVersion, Phrasing
from faqs.transfer import COLUMNS, BadImportFile, Outcome, export_faqs, import_faqs
from faqs.transfer.cells import join_list, split_list

# Each example meets an empty catalog: it runs in a savepoint that is taken back.
in_database = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

TEXTS = st.text(max_size=40)
CELLS = TEXTS | st.sampled_from(
    [
        "", "draft", "published", "archived", "guests", "en", "de", "DE_at", "2027-01-31", "9999-12-31T23:59:59-14:00",
        "0001-01-01", "a/b", "a", "[", '["x", "y"]', "[[]]", "=1+1", "'", "''=", "\x00", "What?", "What? ",
        "018f0000-0000-7000-8000-000000000000",
    ]
)  # fmt: skip
OTHERS = {name: CELLS for name in COLUMNS if name not in ("question", "answer")}
ROWS = st.lists(st.fixed_dictionaries({"question": CELLS, "answer": CELLS}, optional=OTHERS), max_size=4)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
ENTRIES = st.lists(
    st.dictionaries(st.sampled_from([*COLUMNS, "more"]), CELLS | JSON_VALUES, max_size=8) | JSON_VALUES, max_size=4
)
CATEGORIES = st.lists(
    st.fixed_dictionaries(
        {"slug": st.sampled_from(["a", "b", "", "a b"]), "name": CELLS},
        optional={"parent": st.sampled_from([None, "a", "b", ""]), "position": st.integers()},
    ),
    max_size=3,
)


def stored() -> list[int]:
    return [model.objects.count() for model in (FAQ, Category, FAQVersion, Phrasing)]


def import_whole_or_not_at_all(data: bytes) -> None:
    with transaction.atomic():
        try:
            report = import_faqs(data=data, actor=None, create_categories=True, publish=True)
        except BadImportFile:
            assert stored() == [0] * 4
            return
        assert report.applied == (not report.refused)
        assert all(row.reason for row in report.refused)
        assert FAQ.objects.count() == (report.counts[Outcome.CREATED] if report.applied else 0)
        if report.applied:
            assert FAQVersion.objects.count() == FAQ.objects.count()
            assert Phrasing.objects.filter(kind="question").count() == FAQ.objects.count()
            again = import_faqs(data=export_faqs().encode(), actor=None) if report.rows else report
            assert again.counts[Outcome.CHANGED] == again.counts[Outcome.REFUSED] == 0, again
        else:
            assert stored() == [0] * 4
        transaction.set_rollback(True)


@pytest.mark.django_db
@given(data=st.binary(max_size=200) | st.builds(lambda rest: b"question,answer\n" + rest, st.binary(max_size=200)))
@in_database
def test_any_bytes(data: bytes) -> None:
    import_whole_or_not_at_all(data)


@pytest.mark.django_db
@given(rows=ROWS, delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n", "\r"]))
@in_database
def test_any_cells(rows: list[dict[str, str]], delimiter: str, end: str) -> None:
    buffer = io.StringIO(newline="")
    columns = list(dict.fromkeys(["question", "answer", *(name for row in rows for name in row)]))
    writer = csv.DictWriter(buffer, columns, restval="", delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    import_whole_or_not_at_all(buffer.getvalue().encode(errors="replace"))


@pytest.mark.django_db
@given(entries=ENTRIES, categories=CATEGORIES)
@in_database
def test_any_json(entries: list[Any], categories: list[Any]) -> None:
    import_whole_or_not_at_all(json.dumps({"faqs": entries, "categories": categories}).encode())


@given(st.text())
def test_a_cell_comes_back_the_same_and_is_no_formula(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cell = escape(text)
    assert unescape(cell) == text
    assert not any(line.startswith(("=", "+", "-", "@", "\t", "\r")) for line in cell.split("\n"))


@example([' ["'], ", ")
@example([" [a", "b"], "\n")
@given(st.lists(st.text(alphabet="ab[]\",'= ", min_size=1).filter(str.strip)), st.sampled_from([", ", "\n"]))
def test_a_list_in_a_cell_comes_back_the_same(texts: list[str], separator: str) -> None:
    found = split_list(join_list(texts, separator), separator)
    assert [text.strip() for text in found if text.strip()] == [text.strip() for text in texts]
