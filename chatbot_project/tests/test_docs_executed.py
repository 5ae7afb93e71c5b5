"""Every command that a document's code blocks tell to run is run by a test, or stands with its reason in one list."""

import argparse
import ast
import csv
import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from django.core.management import call_command, execute_from_command_line
from django.db import connection, transaction
from psycopg.conninfo import conninfo_to_dict

from accounts import api_keys, services
from accounts.scopes import Scope
from accounts.tests.factories import make_admin, make_user
from chatbot_project.backup import databases
from chatbot_project.embedded.dotenv import parse_dotenv
from chatbot_project.tests.backups import home, made, place, restored
from chatbot_project.tests.cluster import render
from chatbot_project.tests.documents import (
    LEFT_OUT,
    PAGES,
    ROOT,
    RUN,
    Command,
    Entry,
    alike,
    commands,
    commands_in,
    running,
)
from chatbot_project.tests.erased import erased
from faqs.models import FAQ

__all__ = ["home", "place"]  # fixtures
MODULE = re.compile(r"python -m (stress_tests[\w.]*) +([^`|#\s][^`|#\n]*)")
BENCH = re.compile(r'make bench ARGS="([^"]*)"')


def in_a_shell(command: Command | str, cwd: Path, before: str = "", **environment: str) -> str:
    """What it prints, run by a shell in ``cwd``. Fails where it fails."""
    text = command.text if isinstance(command, Command) else command
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", before + text], cwd=cwd, env={"PATH": path, **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    return done.stdout


def in_process(command: Command) -> None:
    """A command of ``manage.py`` as a shell would start it, but in this process."""
    python, script, *arguments = command.words
    assert (Path(python).name, script) == ("python", "manage.py")
    execute_from_command_line([script, *arguments])


# --- all of them


def test_each_command_is_run_by_somebody_or_left_out_for_a_reason() -> None:
    entered = {command: [each.what for each in (*RUN, *LEFT_OUT) if each.covers(command)] for command in commands()}
    assert {str(command): entries for command, entries in entered.items() if len(entries) != 1} == {}


@pytest.mark.parametrize("entry", [*RUN, *LEFT_OUT], ids=lambda entry: f"{entry.page} {entry.pattern}")
def test_each_entry_is_of_a_command_that_some_document_has(entry: Entry) -> None:
    assert entry.page == "*" or entry.page in PAGES
    assert any(entry.covers(command) for command in commands())


def test_whoever_is_entered_runs_them_in_a_test() -> None:
    """``with running("name")`` stands in exactly one test, or fixture, for each name."""
    used = [
        ast.literal_eval(node.args[0])
        for app in ("chatbot_project", "conversations")
        for path in sorted((ROOT / app / "tests").glob("*.py"))
        if "running(" in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "running" and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(used) == sorted({entry.what for entry in RUN})


def test_commands_that_are_named_between_words_are_run_by_some_test() -> None:
    """Of ``manage.py``, by their names: a test that runs one has it in quotes, or from a code block."""
    named = {name for page in PAGES for name in re.findall(r"`manage\.py ([a-z_]+)", (ROOT / page).read_text())}
    quoted = {
        name
        for path in ROOT.glob("*/tests/*.py")
        for name in re.findall(r"""["']([a-z_]+)["']""", path.read_text())
    }  # fmt: skip
    assert named - quoted - OF_DJANGO == set()


OF_DJANGO = {"runserver"}  # daphne's, for whoever works on the pages


def test_what_is_entered_and_not_run_fails() -> None:
    entry = RUN[0]
    with pytest.raises(AssertionError, match="not run"), running(entry.what) as left:
        left.take(entry.page)


def test_shell_takes_each_command() -> None:
    for command in commands():
        if command.kind == "shell":
            done = subprocess.run(["bash", "-n", "-c", command.text], capture_output=True, text=True, check=False)
            assert done.returncode == 0 or command.plain.startswith("0 2 * * *"), (command, done.stderr)


def test_blocks_are_read_as_people_read_them() -> None:
    page = (
        "```console\n$ one --a \\\n  b  # why\nsaid\n$ two\n```\n"
        "```sh\nthree |\n  four\nfor x in y; do\n  z\ndone\n# below\n```\n"
        "```sh\nNAME=value x\nOTHER=1\n```\n```sh\nfive &&\nsix\n```\n"
        "```text\nnot a command\n```\n```python\na = 1\nb = 2\n```\n"
    )
    found = list(commands_in("page", page))
    assert [(command.kind, command.plain, command.output) for command in found] == [
        ("shell", "one --a b", ("said",)),
        ("shell", "two", ()),
        ("shell", "three | four", ()),
        ("shell", "for x in y; do z done", ()),
        ("settings", "NAME=value x OTHER=1", ()),
        ("shell", "five && six", ()),
        ("python", "a = 1 b = 2", ()),
    ]
    assert found[3].text.endswith("# below")
    assert found[0].words == ["one", "--a", "b"]
    with pytest.raises(ValueError, match="more than one"):
        _ = found[2].words


# --- those that take too long: at least they are taken


class Taken(Exception):
    """The arguments were."""


def _measuring() -> list[tuple[str, str]]:
    """Modules and arguments of ``python -m stress_tests…`` and ``make bench``, in blocks and between words."""
    found = set()
    for page in PAGES:
        text = (ROOT / page).read_text()
        found |= {("stress_tests.bench", arguments) for arguments in BENCH.findall(text)}
        found |= {(module, arguments) for module, arguments in MODULE.findall(text)}
    return sorted(found)


@pytest.mark.parametrize(("module", "arguments"), _measuring())
def test_what_is_measured_takes_the_arguments_that_documents_give_it(
    module: str, arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = argparse.ArgumentParser.parse_args

    def taken(*given: Any) -> NoReturn:
        parse(*given)
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", taken)
    monkeypatch.setattr("sys.argv", [module, *shlex.split(arguments)])
    with pytest.raises(Taken):
        importlib.import_module(_runnable(module)).main()


def _runnable(module: str) -> str:
    found = importlib.util.find_spec(module)
    assert found is not None
    return f"{module}.__main__" if found.submodule_search_locations else module


# --- settings


def test_settings_say_what_they_are_shown_for() -> None:
    with running("settings") as left:
        for command in left.take_all():
            given = parse_dotenv(command.text) if command.kind == "settings" else _given_to_make(command)
            assert given
            _check_loaded(given)


def _given_to_make(command: Command) -> dict[str, str]:
    """What ``make run`` is given by a shell."""
    said = in_a_shell(command, ROOT, 'make() { [ "$*" = run ] && /usr/bin/env -0; }\n')
    variables = dict(line.split("=", 1) for line in said.split("\0") if line)
    return {name: value for name, value in variables.items() if name in command.settings}


def _check_loaded(given: dict[str, str]) -> None:
    """Settings take them: a model has its provider, servers are those that are named."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        loaded = runpy.run_path(str(ROOT / "chatbot_project" / "settings.py"))
    if "DEFAULT_MODEL" in given:
        assert loaded["DEFAULT_MODEL"] == given["DEFAULT_MODEL"]
        assert loaded["DEFAULT_MODEL"].partition("/")[0] in loaded["LLM_PROVIDERS"]
    if "DATABASE_URL" in given:
        wanted = conninfo_to_dict(given["DATABASE_URL"])
        used = loaded["DATABASES"]["default"]
        assert (used["HOST"], used["NAME"]) == (wanted["host"], wanted["dbname"])
        assert used["OPTIONS"]["sslrootcert"] == wanted["sslrootcert"]
    if "REDIS_URL" in given:
        assert loaded["REDIS_URL"] == given["REDIS_URL"]
    if "TRACING" in given:
        assert loaded["TRACING"] == float(given["TRACING"])


# --- commands that need no running installation


@pytest.mark.django_db(transaction=True)
def test_commands_do_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with running("commands") as left:
        importing = left.take("README.md", "import_faqs")
        _write_faqs(Path("faqs.csv"), importing)
        in_process(importing)
        assert str(FAQ.objects.get(question="When are you open?").category) == "Hours"
        said = []
        for command in left.take_all("docs/doctor.md"):
            capsys.readouterr()
            in_process(command)
            said.append(capsys.readouterr().out)
        assert [line.partition(" until ")[0] for line in said] == ["Maintenance is on"] * 2 + [said[2]]
        assert said[2].startswith("Maintenance is off.")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(left.take("docs/audit.md").text)
            call_command("grant_audit", "nono_app")
            assert _rights("nono_app", "accounts_auditevent") == {"SELECT", "INSERT"}
            assert _rights("nono_app", "conversations_message") == {"SELECT", "INSERT", "UPDATE", "DELETE"}
            transaction.set_rollback(True)  # a role is of all databases


def _write_faqs(path: Path, command: Command) -> None:
    """With the columns that the comment behind the command names."""
    told = re.search(r"# columns: (.*), …$", command.text)
    assert told
    row = {"question": "When are you open?", "answer": "From nine to five.", "phrasings": "Opening hours?",
           "category": "Hours"}  # fmt: skip
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, told[1].split(", "))
        writer.writeheader()
        writer.writerow(row)


def _rights(role: str, table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT privilege_type FROM information_schema.role_table_grants "
                       "WHERE grantee = %s AND table_name = %s", [role, table])  # fmt: skip
        return {right for (right,) in cursor.fetchall()}


@pytest.mark.django_db(transaction=True)
def test_backups_are_made_and_restored_as_the_document_shows(
    place: Path,
    home: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    user, erased_since = make_user(), make_user()
    folder = made(place)
    older = shutil.copytree(folder, place / "nono-20200101T020000Z")
    for day in range(2, 15):
        shutil.copytree(older, place / f"nono-202001{day:02}T020000Z")
    restored(folder, home)
    with databases.using(home), running("backups") as left:
        admin, closed = make_admin(), make_user()
        api_keys.create_key(user=user, name="k", scopes=[Scope.READ])
        making = left.take("docs/backup.md", "manage.py backup")
        in_process(making)
        assert alike(making.output, capsys.readouterr().out)
        api_keys.revoke_keys(user=user)
        services.set_suspended(actor=admin, user=closed, suspended=True, reason="Why")
        erased(type(erased_since).objects.get(pk=erased_since.pk))
        restoring = left.take("docs/backup.md", "manage.py restore")
        in_process(restoring)
        assert alike(restoring.output, capsys.readouterr().out)


# --- preparing to deploy


def test_settings_and_overlays_are_made_as_the_guides_say(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    with running("deploying") as left:
        in_a_shell(left.take("docs/deploy.md"), tmp_path)
        made_settings = parse_dotenv((tmp_path / ".env").read_text())
        assert made_settings["BASE_URL"] == "https://chat.example.org"
        assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
        in_a_shell(left.take("docs/deploy-kubernetes.md", "cp -r"), tmp_path)
        overlays = tmp_path / "deploy" / "k8s" / "overlays"
        assert {path.name for path in (overlays / "ours").iterdir()} == {
            path.name for path in (overlays / "production").iterdir()
        }
        asking = left.take("docs/deploy-kubernetes.md", "secrets.env")
        in_a_shell(asking, tmp_path)
        secrets = parse_dotenv((tmp_path / "secrets.env").read_text())
        assert set(secrets) == set(re.findall(r"\w+(?=[|)])", asking.text.split("'")[1]))
        assert min(map(len, secrets.values())) >= 32
        assert (tmp_path / "secrets.env").stat().st_mode & 0o777 == 0o600
        rule = yaml.safe_load(in_a_shell(left.take("docs/deploy-kubernetes.md"), tmp_path, "kubectl() { cat; }\n"))
        # Found by Prometheus as the monitor is.
        monitor = render("production").one("PodMonitor", "nono")
        assert (rule["kind"], rule["metadata"]) == ("PrometheusRule", monitor["metadata"])
        assert rule["spec"] == yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())
