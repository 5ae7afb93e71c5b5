"""Where anything of a person could be left after an erasure, and looking for it there."""

import base64
import binascii
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ErasureEntry, User
from accounts.privacy import erasures
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.lib.task_order import KEYS
from conversations.models import Message
from conversations.replies.log import log_key

_BODY = re.compile(r'"body": "([A-Za-z0-9+/=]+)"')


@pytest.fixture(autouse=True)
def places(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A log of erasures and logs of processes of the test's own."""
    settings.ERASURE_LOG = tmp_path / "erasures.jsonl"
    settings.VAR_DIR = tmp_path
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    (tmp_path / "log").mkdir()
    yield tmp_path
    blocking_redis().flushdb()


def erased(user: User) -> ErasureEntry:
    request = erasures.request_erasure(user=user, at_once=True)
    assert erasures.run_erasure(request.pk) is True
    return ErasureEntry.objects.get(pk=request.pk)


def database_text() -> str:
    """Every row of every table, as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            found += [f"{table}: {row[0]}" for row in cursor.fetchall()]
    return "\n".join(found)


def redis_text() -> str:
    client: Any = blocking_redis()
    read = {
        b"string": client.get, b"list": lambda key: client.lrange(key, 0, -1), b"hash": client.hgetall,
        b"set": client.smembers, b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }  # fmt: skip
    found = []
    for key in client.scan_iter():
        value = read.get(client.type(key), client.get)(key)  # it may have run out
        bodies = [_decoded(body) for body in _BODY.findall(repr(value))]  # of Celery's tasks, where they are
        found.append(repr((key, value, bodies)))
    return "\n".join(found)


def _decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body)
    except binascii.Error:  # another's body, in clear
        return b""


def files_text(place: Path) -> str:
    """Every file, and compressed ones as they were before."""
    found = []
    for path in (each for each in place.rglob("*") if each.is_file()):
        content = path.read_bytes()
        found.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace"))
    return "\n".join(found)


def everything(place: Path) -> dict[str, str]:
    return {"database": database_text(), "Redis": redis_text(), "files": files_text(place)}


def traces(texts: dict[str, str], needles: dict[str, str]) -> list[tuple[str, str]]:
    """Which needle is found where; in a column of bytes it stands as hexadecimal digits."""
    return [
        (where, what)
        for where, text in texts.items()
        for what, needle in needles.items()
        if needle in text or needle.encode().hex() in text
    ]


def leave_traces(user: User, marks: dict[str, str], place: Path) -> None:
    """What running processes leave in Redis, in Celery's queue and in logs."""
    client: Any = blocking_redis()
    reply = Message.objects.filter(owner=user, role="assistant").latest("id")
    Message.objects.filter(pk=reply.pk).update(queued_at=timezone.now())
    marks["a live log"] = "canaryinthelog"
    client.xadd(log_key(reply.pk), {"f": marks["a live log"]}, id="1-1")
    client.set(f"idempotency:{user.pk}:{uuid4().hex}", json.dumps({"body": marks["conversations.Message.text"]}))
    client.set(f"rate:asks:{user.pk}", "1")
    client.hset(f"tokens:2026-11-28:{user.pk}", mapping={"used": 7})
    client.set(f":1:faqs.import:{user.pk}:x", "a file")
    Client().post("/accounts/sign-in/", {"email": user.email, "password": "wrong"})
    for argument in (str(user.pk), str(uuid4())):
        body = base64.b64encode(json.dumps([[argument], {}, {}]).encode()).decode()
        for key in KEYS:
            client.lpush(key, json.dumps({"body": body, "headers": {"task": "x"}}))
    lines = [f'{{"user_id": "{user.pk}"}}', '{"event": "kept"}', f"To: {user.email}", f"by {user.pk.hex}"]
    (place / "log" / "web.log").write_text("\n".join(lines))
