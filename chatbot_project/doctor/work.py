"""Who works in the background: reply workers, Celery, beat."""

from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

from django.conf import settings
from django.utils import timezone

from chatbot_project.beat_heartbeat import BEAT_KEY
from chatbot_project.celery import app
from chatbot_project.doctor.redis import redis_client
from chatbot_project.doctor.registry import Findings, Request, check, failed, ok, skipped, warning
from chatbot_project.doctor.running import in_database, in_thread
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.task_order import KEYS
from chatbot_project.models import TaskRecord
from chatbot_project.task_queue import QueueFull
from chatbot_project.tasks import answer_doctor, answer_key
from conversations.doorbell import PING, WORKERS_CHANNEL
from conversations.replies import queue
from conversations.replies.heartbeat import HEARTBEAT_KEY

LONG_WAIT = 60.0  # seconds that the oldest question may wait
SILENT_BEAT = 60.0  # it sends something every five seconds
SHARE = 0.6  # of the check's time that an answer is waited for: the rest says why there is none


@check("replies", "Reply workers answer", needs=("redis", "database", "migrations"))
async def examine_replies(request: Request) -> Findings:
    """Each is asked over its doorbell, and answers as it looks for work, once its database has answered. No reply is
    asked for, which would need a person and a model."""
    key, began, bound = answer_key(uuid7().hex), perf_counter(), request.seconds * SHARE
    async with redis_client(request.seconds) as client:
        beat = await client.get(HEARTBEAT_KEY)
        heard_by = await client.publish(WORKERS_CHANNEL, PING + key.encode())
        answers = await _answers(client, key, heard_by, began + bound)
    took = perf_counter() - began
    depth = await in_database(queue.depth, seconds=request.seconds)
    waiting = f"{depth.queued} wait, {depth.streaming} are streamed"
    if not heard_by:
        last = "none was heard of for 15 s" if beat is None else f"the last was heard of {age_of(beat):.0f} s ago"
        return failed(f"No reply worker listens for work, {last}; {waiting}.", "Start one: manage.py runreplies")
    if not answers:
        return failed(
            f"{heard_by} listen for work, but none answered within {bound:.0f} s; {waiting}.",
            "See their logs: their database is away, or they hang. Then restart them: manage.py runreplies",
        )
    said = f"{answers} of {heard_by} answered within {took * 1000:.0f} ms; {waiting}."
    if answers < heard_by:
        return warning(said, "One that drains does not answer. Of any other see the log, and restart it.")
    if depth.queued and depth.oldest_wait > LONG_WAIT:
        return warning(
            f"{said} The oldest waits for {depth.oldest_wait:.0f} s.",
            "Start more of manage.py runreplies, or raise REPLY_SLOTS or PROVIDER_SLOTS; see the check “models”.",
        )
    return ok(said)


async def _answers(client: Any, key: str, expected: int, until: float) -> int:
    """How many answer in the list ``key``, of those ``expected``, ``until`` then by ``perf_counter``."""
    for count in range(expected):
        if not await client.blpop([key], timeout=left(until)):
            return count
    return expected


def left(until: float) -> float:
    """The seconds until then by ``perf_counter``, some hundredth at least: 0 would be for ever."""
    return max(0.01, until - perf_counter())


@check("celery", "Celery does a task", needs=("redis",))
async def examine_celery(request: Request) -> Findings:
    word, began, bound = uuid7().hex, perf_counter(), request.seconds * SHARE
    is_sent = await in_thread(_send, word, bound)
    async with redis_client(request.seconds) as client:
        if is_sent and await client.blpop([answer_key(word)], timeout=left(began + bound)):
            return ok(f"A task was sent, done and answered in {(perf_counter() - began) * 1000:.0f} ms.")
        waiting = sum([await client.llen(key) for key in KEYS])
    if await in_thread(_answering, left(began + request.seconds) / 2):
        return failed(
            f"Workers are there, but did not do a task within {bound:.0f} s; {waiting} wait.",
            "Start more workers or raise --concurrency; the admin's background tasks show what does not end.",
        )
    return failed(
        f"No Celery worker did a task within {bound:.0f} s; {waiting} wait.",
        "Start one: celery -A chatbot_project worker --pool threads",
    )


def _send(word: str, seconds: float) -> bool:
    """Whether the queue took the task: it is bounded."""
    try:
        answer_doctor.apply_async((word,), expires=seconds, retry=False)
    except QueueFull:
        return False
    return True


def _answering(seconds: float) -> list[Any]:
    """The workers that answer at once when they are called directly, past the queue."""
    replies: list[Any] = app.control.ping(timeout=seconds)
    return replies


@check("beat", "Beat keeps the timetable", needs=("redis",))
async def examine_beat(request: Request) -> Findings:
    async with redis_client(request.seconds) as client:
        beat = await client.get(BEAT_KEY)
    mend = "Start one, and one only: celery -A chatbot_project beat"
    if beat is None:
        return failed("Beat has not been heard of for a day.", mend)
    if (age := age_of(beat)) > SILENT_BEAT:
        return failed(f"Beat sent its last task {age:.0f} s ago; one is due every 5 s.", mend)
    return ok(f"Beat sent its last task {age:.0f} s ago.")


@check("backup", "The database was backed up lately", needs=("database", "migrations"))
async def examine_backup(request: Request) -> Findings:
    """By what `manage.py backup` has noted in the database, wherever it wrote to."""
    hours = settings.BACKUP_HOURS
    record = await in_database(TaskRecord.objects.filter(name="backup").first, seconds=request.seconds)
    made_at = record.succeeded_at if record else None
    if made_at is None:
        said = "None was ever made by manage.py backup."
    else:
        said = f"The last was made {(timezone.now() - made_at) / timedelta(hours=1):.1f} hours ago."
    if not hours:
        return skipped(f"{said} BACKUP_HOURS is 0: nobody asks.")
    if record and record.outcome == TaskRecord.Outcome.FAILED:
        return warning(f"{said} The newest try failed: {record.error}", "Run: manage.py backup")
    if made_at is None or timezone.now() - made_at > timedelta(hours=hours):
        return warning(
            said, "Have a timetable run it every day (docs/backup.md); BACKUP_HOURS=0 where others see to it."
        )
    return ok(said)


def age_of(beat: bytes) -> float:
    """Seconds since a heartbeat, whose value is its time."""
    return max(0.0, (timezone.now() - datetime.fromisoformat(beat.decode())).total_seconds())
