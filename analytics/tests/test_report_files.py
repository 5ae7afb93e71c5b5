"""A report as PDF, CSV and JSON: whole, safe, and the same again."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from accounts.tests.factories import make_user
from analytics import rollups
from analytics.metrics import METRICS
from analytics.models import Report, RollupState
from analytics.reports.chart import BAR, BASE, chart_of
from analytics.reports.files import Format, file_of
from analytics.reports.periods import last_over, period_of
from analytics.tests.history import make_history
from conversations.models import Conversation
from conversations.tests.factories import make_persona

IN_SCRIPTS = (
    *("Bücherei", "Библиотека", "Βιβλιοθήκη", "图书馆", "図書館", "도서관", "ספרייה", "مكتبة", "ห้องสมุด"),
    *("🦉 \x07", "=1+1"),
)


def make_report(*, names: Sequence[str] = ("Desk",), **content: Any) -> Report:
    """A stored one of a week, with numbers in it, and personas of these names."""
    period = period_of("week", timezone.datetime(2026, 3, 25).date())
    days = [{"name": day.isoformat(), "values": [6, number, None]} for number, day in enumerate(period.days)]
    personas = [{"name": name, "values": [10, "suppressed", 0.5]} for name in names]
    tables = {
        "personas": {"columns": ["questions", "conversations", "satisfaction"], "rows": personas},
        "days": {"columns": ["people", "questions", "cost"], "rows": days},
    }
    return Report.objects.create(
        grain="week",
        start=period.start,
        time_zone=period.zone.key,
        figures={name: [1, 2.5] for name in METRICS} | {"cost": [-1.5, None]},
        content={"currency": "EUR", "persona": None, "tables": tables, "gaps": 3, **content},
    )


@pytest.fixture
def report(db: None) -> Report:
    return make_report()


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


# --- Files ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("format", Format)
def test_the_same_report_gives_the_same_bytes(report: Report, format: Format) -> None:
    first = file_of(report, format, "de")
    again = file_of(Report.objects.get(), format, "de")
    assert first == again
    assert first.name == f"report-week-2026-03-23.{format}"


def test_a_pdf_says_what_it_is_and_in_which_language(report: Report) -> None:
    content = file_of(report, Format.PDF, "de").content
    assert content.startswith(b"%PDF-")
    assert b"NotoSansCJK" not in content  # the large font, only where a name needs it
    assert content.rstrip().endswith(b"%%EOF")
    assert b"/Lang (de)" in content
    assert b"/MarkInfo" in content  # charts have a text
    assert b"/Alt" in content
    title = re.search(rb"/Title <FEFF([0-9A-F]+)>|/Title \(\xfe\xff", content)
    assert title or b"/Title" in content


def test_names_in_any_script_have_their_letters_in_the_pdf(db: None, caplog: Any) -> None:
    content = file_of(make_report(names=IN_SCRIPTS), Format.PDF, "en").content
    assert b"FiraGO" in content
    assert b"NotoSansCJK" in content
    assert "missing" not in caplog.text  # as fpdf2 says of letters that no font has


def test_what_is_not_shown_is_a_grey_bar_and_no_gap(db: None) -> None:
    rows = [{"name": f"2026-03-{day}", "values": [value]} for day, value in ((23, 9), (24, "suppressed"), (25, 0))]
    chart = chart_of(make_report(tables={"days": {"columns": ["questions"], "rows": rows}}), "questions")
    assert chart is not None
    drawn = chart.svg(70, 30).getvalue().decode()
    assert drawn.count(f'fill="{BAR}"') == 1
    assert drawn.count(f'fill="{BASE}"') == 2  # and the line below all
    assert "Grey: < 5" in chart.told


def test_a_long_name_does_not_break_the_page(db: None) -> None:
    report = make_report(persona={"slug": "long", "name": "Donaudampfschifffahrt" * 20})
    assert file_of(report, Format.PDF, "en").content.startswith(b"%PDF-")


def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_stay_numbers(db: None) -> None:
    rows = rows_of(file_of(make_report(names=IN_SCRIPTS), Format.CSV, "en").content)
    assert "'=1+1" in {row["row"] for row in rows}
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+@\t\r" and cell]
    (cost,) = [row for row in rows if row["table"] == "figures" and row["figure"] == "cost"]
    assert (cost["value"], cost["before"], cost["unit"]) == ("-1.5", "", "money")


def test_csv_holds_every_figure_and_every_cell_of_the_tables(report: Report) -> None:
    rows = rows_of(file_of(report, Format.CSV, "de").content)
    assert [row["figure"] for row in rows if row["table"] == "figures"] == list(METRICS)
    assert sum(row["table"] == "days" for row in rows) == 7 * 3
    assert {row["value"] for row in rows if row["table"] == "personas" and row["figure"] == "conversations"} == {
        "suppressed"
    }
    assert "Gespräche" in {row["label"] for row in rows}


def test_json_holds_all_of_it_in_no_language(report: Report) -> None:
    english, german = (json.loads(file_of(report, Format.JSON, code).content) for code in ("en", "de"))
    assert english == german
    assert english["figures"]["cost"] == {"unit": "money", "value": -1.5, "before": None}
    assert list(english["tables"]) == ["days", "personas"]
    assert (english["first"], english["last"], english["final"]) == ("2026-03-23", "2026-03-29", True)


def test_no_process_loads_what_writes_pdf_before_it_writes_one() -> None:
    loaded = "import django; django.setup(); import analytics.tasks, analytics.admin, sys; print('fpdf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("format", Format)
def test_one_from_before_there_was_more_than_figures_is_a_file_as_well(db: None, format: Format) -> None:
    report = make_report()
    Report.objects.update(content={}, figures={"questions": [5, None], "no_figure_any_more": [1, 1]})
    report.refresh_from_db()
    content = file_of(report, format, "en").content
    assert b"no_figure_any_more" not in content


# --- manage.py report -------------------------------------------------------------------------------------------------
@pytest.fixture
def counted(db: None) -> None:
    """Something said in the last weeks, added up until now."""
    people = [make_user() for _ in range(6)]
    make_history(1, people, [make_persona(slug="desk")], timezone.now() - timedelta(days=20), 18, size=30)
    rollups.refresh()
    RollupState.objects.update(counted_until=timezone.now() + timedelta(days=1))  # at any hour: a week has ended


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., bytes]:
    """Runs the command; what it wrote."""

    def run(*arguments: str) -> bytes:
        place = tmp_path / "report"
        call_command("report", *arguments, output=place, stdout=io.StringIO())
        return place.read_bytes()

    return run


@pytest.mark.parametrize("format", Format)
def test_it_writes_the_same_though_all_was_erased_in_between(counted: None, write: Any, format: Format) -> None:
    first = write("--period", "week", "--format", format)
    Conversation.objects.all().delete()
    rollups.rebuild()
    assert write("--period", "week", "--format", format) == first
    assert Report.objects.count() == 1
    if format == Format.JSON:
        assert json.loads(first)["figures"]["questions"]["value"] > 0


def test_it_keeps_a_report_that_is_older_than_any_run_goes_back(counted: None, write: Any) -> None:
    long_ago = last_over("month", timezone.now()).first - timedelta(days=300)
    found = json.loads(write("--period", "month", "--date", f"{long_ago}", "--format", "json"))
    assert found["final"] is True
    assert found["first"] == long_ago.replace(day=1).isoformat()
    assert Report.objects.get().start == period_of("month", long_ago).bounds[0]


def test_of_what_is_not_over_it_says_so_and_keeps_nothing(counted: None, write: Any) -> None:
    RollupState.objects.update(counted_until=timezone.now())
    today = timezone.localdate().isoformat()
    assert json.loads(write("--period", "day", "--date", today, "--format", "json"))["final"] is False
    RollupState.objects.update(counted_until=timezone.now() - timedelta(days=60))
    assert json.loads(write("--period", "week", "--format", "json"))["final"] is False
    assert not Report.objects.exists()


def test_it_writes_of_one_persona(counted: None, write: Any) -> None:
    found = json.loads(write("--period", "week", "--persona", "desk", "--format", "json"))
    assert found["persona"]["slug"] == "desk"
    assert Report.objects.get().persona is not None


def test_a_pdf_goes_to_the_standard_output_as_it_is(counted: None, capfdbinary: Any) -> None:
    call_command("report", "--period", "week", "--format", "pdf")
    out = capfdbinary.readouterr().out
    assert out.startswith(b"%PDF-")
    assert out.rstrip().endswith(b"%%EOF")


def test_it_writes_to_the_standard_output(counted: None) -> None:
    out = io.StringIO()
    call_command("report", "--period", "week", "--format", "json", stdout=out)
    assert json.loads(out.getvalue())["period"] == "week"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--date", "2026-02-30"], "YYYY-MM-DD"),
        (["--date", "yesterday"], "YYYY-MM-DD"),
        (["--date", "0001-01-01"], "YYYY-MM-DD"),
        (["--date", "9999-12-31"], "YYYY-MM-DD"),
        (["--date", "2100-01-04"], "not begun"),
        (["--persona", "nobody"], "nobody"),
        (["--format", "xls"], "xls"),
        (["--period", "year"], "year"),
    ],
)
def test_what_is_no_good_is_said_and_nothing_is_written(
    db: None, tmp_path: Path, arguments: list[str], said: str
) -> None:
    place = tmp_path / "report.csv"
    place.write_text("as it was")
    with pytest.raises(CommandError, match=said):
        call_command("report", *(["--period", "day", "--format", "csv", *arguments]), f"--output={place}")
    assert place.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [place]
    assert not Report.objects.exists()


def test_a_file_that_cannot_be_written_is_said(counted: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("report", "--period", "week", "--format", "json", output=tmp_path / "absent" / "report.json")


def test_what_fails_half_way_leaves_the_file_as_it_was(counted: None, tmp_path: Path, monkeypatch: Any) -> None:
    place = tmp_path / "report.json"
    place.write_text("as it was")

    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(CommandError, match="No space left"):
        call_command("report", "--period", "week", "--format", "json", output=place)
    assert place.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [place]


def test_texts_of_the_tables_are_in_the_language_asked_for(counted: None, write: Any) -> None:
    with translation.override("en"):
        rows = rows_of(write("--period", "week", "--format", "csv", "--language", "de"))
    assert "Gespräche" in {row["label"] for row in rows}
