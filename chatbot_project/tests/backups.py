"""A database of a test's own beside the session's, to restore into, and looking at what is in one."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from chatbot_project.backup import databases
from chatbot_project.backup.contents import Table, read_contents
from chatbot_project.backup.making import make_backup
from chatbot_project.backup.manifest import MANIFEST, read_manifest
from chatbot_project.backup.restoring import restore
from chatbot_project.embedded.paths import default_database_url


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Path:
    """Where the test's backups go; what else the product writes is in a folder of the test's own as well."""
    settings.ERASURE_LOG, settings.VAR_DIR = tmp_path / "erasures.jsonl", tmp_path
    settings.BACKUP_DIR = tmp_path / "backups"
    return settings.BACKUP_DIR


@pytest.fixture
def home() -> Iterator[str]:
    """The name of a database that is not there yet. It goes afterwards, and what was made beside it."""
    name = f"{databases.own_name()}_home"
    yield name
    with databases.connect("postgres", autocommit=True) as session:
        for left in all_of(name):
            databases.drop(session, left)


def all_of(name: str) -> list[str]:
    """The databases whose names begin so."""
    with databases.connect("postgres") as session:
        return databases.names_of(session, name)


def run(*arguments: str) -> str:
    """What the command says."""
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def made(place: Path) -> Path:
    """A new backup's folder, of the database in use."""
    return make_backup(place).folder


def restored(folder: Path, home: str, *arguments: str) -> str:
    with databases.using(home):
        return run("restore", str(folder), *arguments)


def tables_of(name: str) -> dict[str, Table]:
    with databases.connect(name) as session:
        return read_contents(session).tables


def change_manifest(folder: Path, **values: Any) -> None:
    """As if this installation had made it with other values."""
    manifest = replace(read_manifest(folder), **values)
    (folder / MANIFEST).write_text(manifest.as_json())


def environment_for(name: str, **values: str) -> dict[str, str]:
    """That of a process whose database is ``name``, and whose files are the test's."""
    url = default_database_url(Path(os.environ["VAR_DIR"])).replace("/nono?", f"/{name}?")
    files = {"ERASURE_LOG": str(settings.ERASURE_LOG), "BACKUP_DIR": str(settings.BACKUP_DIR)}
    return {**os.environ, "DATABASE_URL": url, **files, **values}


def started(name: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A ``manage.py`` command that runs on the database ``name``."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=environment_for(name), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options,
    )  # fmt: skip


def restore_in_place(folder: str) -> None:
    """For dying.py: what ``manage.py restore --replace`` does."""
    restore(Path(folder), say=lambda _said: None, replace=True)
