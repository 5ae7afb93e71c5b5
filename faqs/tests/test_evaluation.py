"""The evaluation: what it measures, on which tables, and how its command speaks and ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from faqs import evaluation, retrieval
from faqs.evaluation import Asked, percentile, report, report_direct, share
from faqs.evaluation_files import Sample, read_rows
from faqs.management.commands import evaluate_faqs
from faqs.scratch import PREFIX
from faqs.state import knowledge_state

from .factories import make_faq, make_index

TOPICS = {
    "lost_card": ["lost", "misplaced", "cannot find", "dropped", "left behind", "am missing", "no longer have"],
    "change_pin": ["change", "reset", "pick another", "replace", "renew", "set a different", "forget"],
    "exchange_rate": ["convert", "swap", "exchange", "trade", "turn into euros", "buy abroad", "change into dollars"],
    "open_account": ["open", "start", "create", "register", "sign up for", "apply for", "get"],
    "close_account": ["close", "delete", "end", "cancel", "terminate", "shut down", "quit"],
}
THINGS = {
    "lost_card": "my bank card", "change_pin": "my pin number", "exchange_rate": "foreign currency money",
    "open_account": "a new savings account", "close_account": "my old account for good",
}  # fmt: skip
FIGURES = ["top1", "top3", "mrr", "fallback_rate", "oos_recall", "ece", "p50_ms", "p95_ms"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    def write(name: str, rows: list[str]) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(rows) + "\n")
        return path

    asked = ["How do I {} {}?", "I want to {} {}", "Can I {} {} today?", "please help me {} {}"]
    phrasings = [
        f"{asked[n % 4].format(verb, THINGS[label])},{label}"
        for label in TOPICS
        for n, verb in enumerate(TOPICS[label])
    ]
    questions = [f"what if I {verb} {THINGS[label]},{label}" for label in TOPICS for verb in TOPICS[label][:3]]
    return {
        "faqs": write("faqs.csv", ["text,category", *phrasings]),
        "questions": write("questions.csv", ["text,label", *questions]),
        "oos": write("oos.csv", ["text", "Who won the football match?", "What is the capital of Mongolia?"]),
    }


def run(files: dict[str, Path], *arguments: str) -> str:
    out = StringIO()
    call_command(
        "evaluate_faqs", "--faqs", str(files["faqs"]), "--questions", str(files["questions"]), *arguments,
        stdout=out, stderr=StringIO(),
    )  # fmt: skip
    return out.getvalue()


# --- The figures
def asked(label: str, labels: list[str], confidence: float = 0.5, fell_back: bool = False, ms: float = 1.0) -> Asked:
    return Asked(label, labels, confidence, fell_back, ms)


def test_figures_are_of_the_questions_they_speak_of() -> None:
    answers = [
        asked("a", ["a", "b"], 1.0, ms=1),
        asked("a", ["b", "a"], 1.0, ms=2),
        asked("a", ["b", "c", "d", "a"], 0.0, fell_back=True, ms=3),
        asked("a", [], 0.0, fell_back=True, ms=4),
        asked("", ["a"], 1.0, ms=5),
        asked("", ["a"], 0.1, fell_back=True, ms=100),
    ]
    assert report(answers) == {
        "top1": 0.25, "top3": 0.5, "mrr": round((1 + 1 / 2 + 1 / 4) / 4, 4), "fallback_rate": 0.5, "oos_recall": 0.5,
        "ece": 0.25, "p50_ms": 3, "p95_ms": 100,
    }  # fmt: skip


def test_figures_without_questions_that_would_show_them_are_none() -> None:
    assert report([asked("a", ["a"])])["oos_recall"] is None
    only_outside = report([asked("", ["a"], fell_back=True)])
    assert only_outside["oos_recall"] == 1.0
    assert {only_outside[name] for name in ("top1", "top3", "mrr", "fallback_rate", "ece")} == {None}
    assert set(report([]).values()) == {None}


def test_direct_answers_to_questions_without_an_answer_are_wrong(settings: Any) -> None:
    settings.FAQ_DIRECT_CONFIDENCE = 0.9
    answers = [
        asked("a", ["a"], 0.95),
        asked("a", ["b"], 0.9),
        asked("a", ["a"], 0.89),
        asked("a", ["a"], 0.99, fell_back=True),
        asked("", ["a"], 0.95),
        asked("", ["a"], 0.2),
    ]
    assert report_direct(answers) == {"coverage": 0.5, "precision": 0.3333, "oos_answered": 0.5}
    assert report_direct([]) == {"coverage": None, "precision": None, "oos_answered": None}


def test_shares_and_percentiles() -> None:
    assert (share([True, False]), share([])) == (0.5, None)
    assert [percentile([1, 2, 3, 4], at) for at in (1, 25, 50, 95, 100)] == [1, 1, 2, 4, 4]
    assert percentile([], 50) is None


# --- Beside the live knowledge
def session() -> psycopg.Connection:
    """A session of the test's own, which no scratch database moves."""
    parameters = connection.get_connection_params()
    for name in ("pool", "cursor_factory", "context"):
        parameters.pop(name, None)
    return psycopg.connect(**parameters, autocommit=True)


@pytest.fixture
def beside(transactional_db: None) -> Iterator[psycopg.Connection]:
    connection.close()
    connection.close_pool()  # so that all of this process's sessions are younger than this one
    with session() as own:
        yield own


def contents() -> dict[str, list[Any]]:
    """Every row of every table of the product."""
    tables = [model._meta.db_table for model in apps.get_models(include_auto_created=True)]
    with session() as own:
        return {name: own.execute(f"SELECT t::text FROM {name} t ORDER BY 1").fetchall() for name in tables}


def uses(beside: psycopg.Connection) -> dict[str, tuple[int, ...]]:
    """How often each live table of the FAQ was read or written, by any session that has ended by now."""
    connection.close()
    connection.close_pool()
    deadline = time.monotonic() + 20
    # Older ones are of servers that other tests have started, which nobody asks anything now.
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        " AND backend_start > (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
    )
    while beside.execute(others).fetchone() != (0,):
        assert time.monotonic() < deadline, "a session did not end, and its counts are not in yet"
    rows = beside.execute(
        "SELECT relname, seq_scan, coalesce(idx_scan, 0), n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables"
        " WHERE schemaname = 'public' AND relname LIKE 'faqs%'"
    )
    return {name: counts for name, *counts in rows}


def test_the_live_knowledge_is_neither_read_nor_changed(beside: psycopg.Connection, files: dict[str, Path]) -> None:
    first = read_rows(files["questions"])[0]
    live = make_faq(first.text, phrasings=[row.text for row in read_rows(files["questions"])[1:]])
    make_index()
    before = contents()
    assert any(str(live.pk) in str(row) for row in before["faqs_faq"])
    counted = uses(beside)
    assert counted.keys() == {model._meta.db_table for model in apps.get_app_config("faqs").get_models()}

    figures = evaluation.evaluate(Sample({"lost_card": ["I lost my card"], "change_pin": ["new pin"]}, [first]))

    assert uses(beside) == counted
    assert contents() == before
    # The live FAQ is asked word by word, and would have been found.
    assert figures["retrieval"]["top1"] == 1.0
    assert beside.execute("SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX]).fetchone() == (
        0,
    )
    assert retrieval.search_faqs(first.text, visibilities=["guests"])[0].faq == live.pk


@pytest.mark.django_db(transaction=True)
def test_it_is_the_products_retrieval_that_answers_first_without_and_then_with_the_matcher(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []

    def watch(query: str, **options: Any) -> retrieval.Found:
        found = retrieval.find_answer(query, **options)
        used.append(found.matcher_used)
        return found

    monkeypatch.setattr(evaluation, "find_answer", watch)
    run(files, "--json")
    half = len(used) // 2
    assert used[:half] == [False] * half
    # Questions that only warm up may still find the process unaware of the matcher.
    assert used[-15:] == [True] * 15
    assert knowledge_state().matcher is None


@pytest.mark.django_db(transaction=True)
def test_json_is_one_object_with_the_promised_keys(files: dict[str, Path]) -> None:
    figures = json.loads(run(files, "--json", "--out-of-scope", str(files["oos"])))
    for part in ("retrieval", "matcher"):
        assert list(figures[part]) == FIGURES
        assert all(0 <= figures[part][name] <= 1 for name in FIGURES[:6])
        assert 0 < figures[part]["p50_ms"] <= figures[part]["p95_ms"]
        assert figures[part]["top1"] > 0.6
    assert figures["size"] == {"faqs": 5, "phrasings": 35, "questions": 15, "out_of_scope": 2}
    assert figures["direct"].keys() == {"confidence", "retrieval", "matcher"}


@pytest.mark.django_db(transaction=True)
def test_without_json_it_is_a_table(files: dict[str, Path]) -> None:
    shown = run(files, "--per-faq", "3", "--seed", "7", "--limit", "5")
    assert "5 FAQs, 15 phrasings; 5 questions, 0 out of scope" in shown
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert set(FIGURES) <= lines.keys()
    assert lines["oos_recall"] == ["–", "–"]
    assert all(len(lines[name]) == 2 for name in FIGURES)


@pytest.mark.django_db(transaction=True)
def test_hidden_labels_are_out_of_scope(files: dict[str, Path]) -> None:
    figures = json.loads(run(files, "--json", "--hide-labels", "0.4"))
    assert figures["size"] == {"faqs": 3, "phrasings": 21, "questions": 9, "out_of_scope": 6}
    assert figures["matcher"]["oos_recall"] is not None


def test_bad_files_and_numbers_are_refused_before_the_database_is_touched(files: dict[str, Path]) -> None:
    files["questions"].write_text("text,label\nWhere is it?,lost_card\nWhat?,nothing\n")
    with pytest.raises(CommandError, match=r"questions\.csv:3: no FAQ has the label 'nothing'"):
        run(files)
    for wrong in (["--per-faq", "0"], ["--limit", "x"], ["--hide-labels", "1"], ["--hide-labels", "nan"]):
        with pytest.raises(CommandError):
            run(files, *wrong)


# --- As a process
@pytest.fixture
def process(beside: psycopg.Connection) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts ``manage.py evaluate_faqs`` on the test's database."""
    started: list[subprocess.Popen] = []
    base, _, query = django_settings.DATABASE_URL.partition("?")
    name = connection.settings_dict["NAME"]
    url = f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

    def start(files: dict[str, Path], *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "manage.py", "evaluate_faqs", "--faqs", str(files["faqs"])]
        child = subprocess.Popen(
            [*command, "--questions", str(files["questions"]), *arguments],
            cwd=django_settings.BASE_DIR, env={**os.environ, "DATABASE_URL": url}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        child.communicate()


def schemas(beside: psycopg.Connection) -> list[str]:
    rows = beside.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", [PREFIX])
    return [name for (name,) in rows]


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def loaded(beside: psycopg.Connection) -> bool:
    """Whether a process has its phrasings in a scratch schema, and so is in the midst of its work."""
    for schema in schemas(beside):
        with contextlib.suppress(psycopg.errors.UndefinedTable):
            if beside.execute(f"SELECT EXISTS (SELECT 1 FROM {schema}.faqs_phrasing)").fetchone() == (True,):
                return True
    return False


@pytest.fixture
def many(files: dict[str, Path]) -> dict[str, Path]:
    """Enough questions to be stopped in the midst of them."""
    header, *rows = files["questions"].read_text().splitlines()
    files["questions"].write_text("\n".join([header, *(rows * 2000)]) + "\n")
    return files


@pytest.mark.slow
def test_with_json_there_is_nothing_else_on_the_standard_output(process: Any, files: dict[str, Path]) -> None:
    out, _err = (child := process(files, "--json")).communicate(timeout=120)
    assert child.returncode == 0
    assert json.loads(out).keys() >= {"retrieval", "matcher"}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_in_the_midst_it_leaves_nothing(
    process: Any, beside: psycopg.Connection, many: dict[str, Path], number: int, code: int
) -> None:
    child = process(many)
    wait_for(lambda: loaded(beside), "the evaluation did not begin")
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (code, ""), err
    assert schemas(beside) == []


class SignalledAsItGoes:
    """Python swallows what is raised in a destructor."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 0)  # the handler runs here


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_falls_into_a_destructor_stops_it_at_the_next_step(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(sample: Sample, progress: evaluation.Progress) -> None:
        progress("load", 0, 1)
        SignalledAsItGoes()
        progress("load", 1, 1)
        pytest.fail("It went on.")

    monkeypatch.setattr(evaluate_faqs, "evaluate", evaluate)
    with pytest.raises(CommandError, match="Stopped") as stopped:
        call_command("evaluate_faqs", faqs=files["faqs"], questions=files["questions"])
    assert stopped.value.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
def test_what_a_killed_one_left_is_dropped_by_the_next(
    process: Any, beside: psycopg.Connection, many: dict[str, Path]
) -> None:
    child = process(many)
    wait_for(lambda: loaded(beside), "the evaluation did not begin")
    child.kill()
    child.wait(30)
    assert len(schemas(beside)) == 1
    # Its lock goes with its session, which the server ends by itself.
    sessions = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    wait_for(lambda: beside.execute(sessions).fetchone() == (0,), "the killed process still holds its schema")
    evaluation.evaluate(Sample({"a": ["one two"], "b": ["three four"]}, []))
    assert schemas(beside) == []


@pytest.mark.slow
def test_the_fields_of_help_are_explained(process: Any, files: dict[str, Path]) -> None:
    out, _err = process(files, "--help").communicate(timeout=60)
    assert all(name in out for name in [*FIGURES, "direct", "from 0 to 1", "--hide-labels", "--per-faq"])
