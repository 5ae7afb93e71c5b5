"""A backup that is spoilt, of a newer version or under another key is refused, and changes nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from accounts.models import AuditEvent
from accounts.tests.factories import make_user
from chatbot_project.backup import databases
from chatbot_project.backup.contents import Table
from chatbot_project.backup.manifest import DUMP, MANIFEST, part_of, read_manifest
from chatbot_project.tests.backups import (
    all_of,
    change_manifest,
    home,
    made,
    place,
    restored,
    run,
    tables_of,
)  # fmt: skip

__all__ = ["home", "place"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


def cut_short(folder: Path) -> None:
    with (folder / DUMP).open("r+b") as file:
        file.truncate(1000)


def with_another_byte(folder: Path) -> None:
    with (folder / DUMP).open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)
        file.seek(5000)
        file.write(bytes([byte[0] ^ 1]))


def without_its_dump(folder: Path) -> None:
    (folder / DUMP).unlink()


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def with_half_a_manifest(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text[: len(text) // 2])


def with_forged_figures(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["tables"]["accounts_user"]["rows"] += 1
    (folder / MANIFEST).write_text(json.dumps(content))


def of_a_newer_version(folder: Path) -> None:
    change_manifest(folder, migrations=("accounts.9999_later",), product="9.0")


def of_a_newer_server(folder: Path) -> None:
    change_manifest(folder, server=99)


def of_a_newer_pgvector(folder: Path) -> None:
    change_manifest(folder, vector="99.1")


def of_another_format(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | {"format": 2}))


def whose_rows_are_not_those_counted(folder: Path) -> None:
    tables = read_manifest(folder).tables
    change_manifest(folder, tables=tables | {"accounts_user": Table(1, "7"), "gone": Table(1, "7")})


def that_pg_restore_cannot_read(folder: Path) -> None:
    parts = read_manifest(folder).parts
    (folder / DUMP).write_bytes(b"no archive")
    change_manifest(folder, parts=parts | {DUMP: part_of(folder / DUMP)})


SPOILT: list[tuple[Callable[[Path], None], str]] = [
    (cut_short, "1000 bytes instead of"),
    (with_another_byte, "its SHA-256 is not that of the manifest"),
    (without_its_dump, "the backup is not whole"),
    (without_manifest, "is no backup"),
    (with_half_a_manifest, "is damaged: it is no manifest"),
    (with_forged_figures, "was changed since the backup was made"),
    (of_a_newer_version, "made by Nono 9.0 with migrations that this version lacks, such as accounts.9999_later"),
    (of_a_newer_server, "made of PostgreSQL 99; this server is 18"),
    (of_a_newer_pgvector, "holds vectors of pgvector 99.1; this server has"),
    (of_another_format, "is of format 2; this version reads 1"),
    (whose_rows_are_not_those_counted, "accounts_user has other values in its 1 rows; gone is only in the backup"),
    (that_pg_restore_cannot_read, "pg_restore failed: error: input file"),
]


def test_what_is_spoilt_or_does_not_fit_changes_nothing(place: Path, home: str, tmp_path: Path) -> None:
    make_user()
    folder = made(place)
    restored(folder, home)
    before = tables_of(home)
    for spoil, said in SPOILT:
        spoilt = tmp_path / spoil.__name__
        shutil.copytree(folder, spoilt)
        spoil(spoilt)
        for how in ("--replace", "--verify"):
            with pytest.raises(CommandError) as refused:
                restored(spoilt, home, how)
            assert said in str(refused.value)
    assert all_of(home) == [home]
    assert tables_of(home) == before


def test_under_another_key_it_is_refused_until_that_is_accepted(place: Path, home: str, settings: Any) -> None:
    folder = made(place)
    key, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-0123456789abcdefghijklmnopqrstuvwxyz"
    with pytest.raises(CommandError, match="SECRET_KEY_FALLBACKS"):
        restored(folder, home)
    with pytest.raises(CommandError, match="There is no backup"):
        restored(Path("latest"), home)
    settings.SECRET_KEY_FALLBACKS = [key]
    assert "It can be restored." in run("restore", folder.name, "--verify")
    settings.SECRET_KEY_FALLBACKS = []
    restored(folder, home, "--accept", "other-key")
    with databases.using(home):
        assert AuditEvent.objects.get(action="backup.restored").details["accepted"] == ["other-key"]
