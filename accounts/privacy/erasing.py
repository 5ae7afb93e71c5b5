"""Erasing one person, wherever the registry says that something of them is: rows, Redis, queued tasks, logs.

Everything here goes in bounded steps, each committed by itself, and may be run again from the beginning: what is gone
is not looked for twice.
"""

import base64
import binascii
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext

from accounts.audit import forget
from accounts.models import User
from accounts.privacy import registry
from accounts.privacy.registry import Erasure, PersonalData
from accounts.retention.holds import is_held, let_none_in
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS

BATCH = 500


class Held(Exception):
    """A legal hold keeps what is to be erased. What is gone by then stays gone; the rest waits for its release."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What erasure does with one model's rows, and how many there are."""

    label: str
    about: str
    erasure: Erasure
    rows: int


def plan(person: User) -> list[Planned]:
    """What erasing ``person`` would do, model by model, in the active language; those without a row are left out. One
    query each."""
    counted = ((entry, entry.rows_of(person).count()) for entry in registry.personal_data() if entry.told)
    return [Planned(entry.label, gettext(entry.about), entry.erasure, rows) for entry, rows in counted if rows]


def erase_everywhere(person: User) -> Iterator[tuple[str, int]]:
    """Erase all of ``person`` but their own row, step by step: what each step was about, and how many things it took.

    Raises RedisError where Redis is away, OSError where a log cannot be written: the next run goes on. Raises Held.
    """
    yield "redis", _erase_redis(person)
    yield "tasks", _erase_tasks(person)
    for entry in registry.erasure_order():
        if entry.model is not User and entry.erasure is not Erasure.KEEP:
            yield from _erase_rows(entry, person)
    yield "redis", _erase_redis(person)  # what came up meanwhile
    yield "logs", _black_out_logs(person)


def refuse_if_held(person: User) -> None:
    """Raise Held where anything of ``person`` is under a hold; none comes into force until the transaction ends."""
    let_none_in()
    if is_held(person):
        raise Held


def erase_row(person: User) -> None:
    """The person's own row, which goes last, and with it whatever hangs on it. In the caller's transaction."""
    forget(person)
    User.objects.filter(pk=person.pk).delete()


# --- The database


def _erase_rows(entry: PersonalData, person: User) -> Iterator[tuple[str, int]]:
    while True:
        with transaction.atomic():
            refuse_if_held(person)
            gone = entry.erase(person) if entry.erase else _delete_batch(entry, person)
        if not gone:
            return
        yield entry.label, gone


def _delete_batch(entry: PersonalData, person: User) -> int:
    batch = list(entry.rows_of(person).values_list("pk", flat=True)[:BATCH])
    entry.model._default_manager.filter(pk__in=batch).delete()
    return len(batch)


# --- Redis


def _erase_redis(person: User) -> int:
    client: Any = blocking_redis()
    gone = 0
    for family in registry.redis_keys():
        for pattern in family.erase(person) if family.erase else ():
            keys = list(client.scan_iter(match=pattern, count=1000)) if "*" in pattern else [pattern]
            for start in range(0, len(keys), BATCH):
                gone += client.delete(*keys[start : start + BATCH])
    return gone


def _erase_tasks(person: User) -> int:
    """Tasks that wait and name the person. Those that name a row of theirs find it gone and do nothing."""
    client: Any = blocking_redis()
    needle, found = str(person.pk).encode(), 0
    for key in KEYS:
        if client.type(key) == b"list":
            named = [raw for raw in client.lrange(key, 0, -1) if needle in raw or needle in _body(raw)]
            found += sum(client.lrem(key, 0, raw) for raw in named)
    return found


def _body(raw: bytes) -> bytes:
    try:
        return base64.b64decode(json.loads(raw)["body"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return b""


# --- Logs


def _black_out_logs(person: User) -> int:
    """Lines that name the person become as many hashes, in place: whoever has the file open writes on behind them."""
    needles = [str(person.pk).encode(), person.pk.hex.encode()]
    needles += [person.email.encode()] if person.email else []
    found = 0
    for path in sorted((Path(settings.VAR_DIR) / "log").glob("*.log*")):
        if path.is_file() and path.stat().st_size:
            with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
                found += sum(_black_out(content, needle) for needle in needles)
                content.flush()
    return found


def _black_out(content: mmap.mmap, needle: bytes) -> int:
    found, place = 0, content.find(needle)
    while place >= 0:
        start = content.rfind(b"\n", 0, place) + 1
        end = content.find(b"\n", place)
        end = len(content) if end < 0 else end
        content[start:end] = b"#" * (end - start)
        found += 1
        place = content.find(needle, end)
    return found
