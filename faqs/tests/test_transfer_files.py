"""Import and export as files: formats, bounds, the same after a round trip, and the commands."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from faqs import services
from faqs.models import FAQ, Category, FAQVersion, Phrasing
from faqs.tests.factories import make_category, make_faq
from faqs.tests.transfer import HEADER, load, outcomes, table
from faqs.transfer import BadImportFile, Outcome, export_faqs, files, import_faqs
from faqs.translations import link_translation

pytestmark = pytest.mark.django_db


# --- Files ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", None, "empty"),
        (b"\xef\xbb\xbf \n", None, "empty"),
        ("question,answer\nä,b\n".encode("latin-1"), 2, "0xE4"),
        (b"question,answer\r\na,b\r\nc,\xff\r\n", 3, "0xFF"),
        ("question,answer".encode("utf-16"), 1, "UTF-16"),
        (b"a,b\nc,d\n", 1, "name the columns"),
        (b"question\n", 1, "name the columns"),
        (b"question,answer,colour\n", 1, "no column “colour”"),
        (b"question,answer,Question\n", 1, "named twice"),
        (b'question,answer\na,"b"c\n', 2, "not CSV"),
        (b'question,answer\na,b\nc,"d\n\n', 3, "not CSV"),
        (b'{"faqs": [', None, "not JSON"),
        (b"[" * 200_000, None, "not JSON"),
        (b"[NaN]", None, "not JSON"),
        (b'{"faqs": [], "more": 1}', None, "not JSON"),
        (b'{"faqs": [], "categories": [{"slug": "a", "name": "A", "parent": "a"}]}', None, "hangs on none"),
        (b'{"faqs": [], "categories": [{"slug": "a b", "name": "A"}]}', None, "“a b”"),
        (b'{"faqs": [], "categories": [{"slug": "a", "name": "A"}, {"slug": "a", "name": "A"}]}', None, "twice"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_a_clear_error(data: bytes, line: int | None, words: str) -> None:
    with pytest.raises(BadImportFile) as refusal:
        import_faqs(data=data, actor=None, create_categories=True)
    assert (refusal.value.line, refusal.value.code) == (line, "bad_import_file")
    assert words in refusal.value.detail
    assert not FAQ.objects.exists()
    assert not Category.objects.exists()


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ROWS", 2)
    assert load(HEADER + "a,1\nb,2\n").applied
    with pytest.raises(BadImportFile, match="more than 2 rows"):
        load(HEADER + "a,1\nb,2\nc,3\n")
    with pytest.raises(BadImportFile, match="more than 2 rows"):
        load(json.dumps([{}] * 3))
    monkeypatch.setattr(files, "MAX_BYTES", 30)
    with pytest.raises(BadImportFile, match="larger"):
        load(HEADER + "a,1\n" * 10)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_spreadsheets_write_csv_in_many_ways(delimiter: str, end: str, mark: str) -> None:
    lines = [["Question", " answer ", "tags", ""], ["One?", f'"first{end}second"', '"a,b"', ""], [], ["", "", "", ""]]
    report = load(mark + end.join(delimiter.join(line) for line in [*lines, ["???", "x", "", ""]]))
    assert outcomes(report) == [(2, "created"), (6, "refused")]
    load(mark + end.join(delimiter.join(line) for line in lines))
    faq = FAQ.objects.get()
    assert (faq.question, faq.answer, faq.tags) == ("One?", "first\nsecond", ["a", "b"])


def test_a_row_of_another_length_is_refused() -> None:
    report = load(HEADER + "One?,1,2\nTwo?\nThree?,3\n")
    assert outcomes(report) == [(2, "refused"), (3, "refused"), (4, "created")]
    assert report.rows[0].reason == "There are 3 cells, and 2 columns."


def test_an_entry_of_the_wrong_shape_is_refused_alone() -> None:
    report = load(json.dumps([{"question": "One?", "answer": "1"}, 5, {"question": 1, "answer": "2"}, {"answer": "3"}]))
    assert outcomes(report) == [(1, "created"), (2, "refused"), (3, "refused"), (4, "refused")]
    assert "question" in report.rows[3].reason


# --- There and back ---------------------------------------------------------------------------------------------------
def make_everything() -> None:
    money = make_category("billing", name="Money / matters", description="All of it", position=3)
    refunds = make_category("refunds", name="Refunds", parent=money)
    again = make_category("refunds-2", name="Refunds", parent=make_category("shop"))
    nasty = ["=1+1", "+1", "-1", "@x1", "'=x1", "''+1", "'plain", "[not a list", 'say "1"', "a;b,c", "ünïcödé 漢字"]
    for number, text in enumerate(nasty):
        phrasings = [*nasty[number:], *nasty[:number]]
        make_faq(text, f"{text}\n- item\n\n    code", phrasings=phrasings, tags=[text, "a,b"], category=refunds)
    make_faq("Same?", "1", category=again, valid_from=None, published=False)
    make_faq("Same?", "2", visibility="staff", tags=["=x"])
    old = make_faq("Old?", "\tcode", category=money)
    services.archive_faqs(faqs=[old], actor=None)
    german = make_faq("Alt?", "Ja.", language="de", phrasings=["[1] wieso", "[2] warum"])
    english = make_faq("Aged?", "Yes.", language="en")
    link_translation(faq=german, other=english, actor=None)
    load(table({"question": "When?", "answer": "Then.", "valid_from": "2020-01-01T01:02:03.5+02:00",
                "valid_until": "2021-01-01", "status": "published"}))  # fmt: skip


def forget_everything() -> None:
    FAQ.objects.all().delete()
    Category.objects.filter(parent__isnull=False).delete()
    Category.objects.all().delete()


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_goes_out_comes_back_the_same(form: Any) -> None:
    make_everything()
    before = export_faqs(format=form)
    stored = list(FAQ.objects.order_by("pk").values("pk", "status", "question", "answer", "search", "category__slug"))
    assert {row.outcome for row in load(before).rows} == {Outcome.UNCHANGED}
    forget_everything()
    report = load(before, create_categories=True)
    assert report.applied, report.refused
    assert export_faqs(format=form) == before
    again = list(FAQ.objects.order_by("pk").values("pk", "status", "question", "answer", "search", "category__slug"))
    assert again == stored
    assert Phrasing.objects.filter(search=None).count() == 0


def test_json_keeps_the_categories_themselves() -> None:
    make_everything()
    fields = ("slug", "name", "parent__slug", "description", "position")
    before = list(Category.objects.order_by("slug").values_list(*fields))
    text = export_faqs(format="json")
    forget_everything()
    load(text, create_categories=True)
    assert list(Category.objects.order_by("slug").values_list(*fields)) == before


def test_no_cell_of_an_export_is_a_formula() -> None:
    make_everything()
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(export_faqs(), newline=""), delimiter=delimiter):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


# --- Many -------------------------------------------------------------------------------------------------------------
def test_many_rows_are_written_in_batches() -> None:
    def many(number: int) -> list[dict[str, str]]:
        return [
            {"question": f"How does thing {n} of {number} work?", "answer": f"Like thing {n - 1}.",
             "category": f"Area {n % 50}", "phrasings": f"thing {n} of {number}\nexplain thing {n} of {number}"}
            for n in range(number)
        ]  # fmt: skip

    def queries(rows: list[dict[str, str]], **options: bool) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert load(table(*rows), **options).applied
        return len(captured)

    few, rows = many(200), many(2_000)
    created = [queries(each, create_categories=True, publish=True) for each in (few, rows)]
    few, rows = (
        [row | {"answer": "New.", "phrasings": row["phrasings"] + "\nmore"} for row in each] for each in (few, rows)
    )
    changed = [queries(each) for each in (few, rows)]
    assert FAQVersion.objects.count() == 2 * 2_200
    for of_few, of_many in (created, changed):
        assert of_many < 2 * of_few, "of ten times the rows"


# --- Commands ---------------------------------------------------------------------------------------------------------
def test_commands_write_and_read_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_everything()
    for name in ("faqs.csv", "faqs.json"):
        call_command("export_faqs", tmp_path / name)
    assert (tmp_path / "faqs.json").read_bytes().startswith(b"{")
    call_command("export_faqs")
    assert capsys.readouterr().out.encode() == (tmp_path / "faqs.csv").read_bytes()
    total = FAQ.objects.count()
    forget_everything()
    for name in ("faqs.csv", "faqs.json"):
        call_command("import_faqs", tmp_path / name, "--create-categories", "--dry-run")
        assert f"{total} created, 0 changed" in capsys.readouterr().out
        assert not FAQ.objects.exists()
    call_command("import_faqs", tmp_path / "faqs.csv", "--create-categories")
    assert FAQ.objects.count() == total


def test_the_import_command_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(HEADER + "One?,1\nTwo?,\n")
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("import_faqs", bad)
    assert "line 3: refused: answer: An FAQ needs an answer." in capsys.readouterr().out
    bad.write_bytes(b"question,answer\n\xff,1")
    with pytest.raises(CommandError, match=r"bad\.csv: Line 2: The byte 0xFF"):
        call_command("import_faqs", bad)
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_faqs", tmp_path / "none.csv")
    assert not FAQ.objects.exists()
    good = tmp_path / "good.csv"
    good.write_text(HEADER + "One?,1\n")
    call_command("import_faqs", good, "--publish")
    assert FAQ.objects.get().status == "published"
