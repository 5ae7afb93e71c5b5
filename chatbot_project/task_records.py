"""Keeps how each Celery task ran, and tells staff by mail of one that failed: at most once per task and hour.

Celery's signals call this in the worker. What goes wrong here is logged and never makes a task fail.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from smtplib import SMTPException
from types import TracebackType
from typing import Any, ParamSpec, TypeAlias

from celery import Task, schedules
from celery.signals import task_failure, task_postrun, task_prerun, worker_ready
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.mail import Letter, letter_message
from chatbot_project.celery import app
from chatbot_project.models import TaskRecord

logger = logging.getLogger(__name__)
P = ParamSpec("P")

ALERT_EVERY = timedelta(hours=1)
COMMANDS = frozenset({"backup"})  # what a timetable outside Celery's starts, kept as tasks are
Outcome: TypeAlias = TaskRecord.Outcome

# Each is one statement, so that runs at once in several workers lose no count.
_STARTED = """
INSERT INTO chatbot_project_taskrecord AS kept (name, started_at, outcome, runs, failures, error)
VALUES (%(name)s, %(now)s, '', 1, 0, '')
ON CONFLICT (name) DO UPDATE SET started_at = %(now)s, runs = kept.runs + 1
"""
_ENDED = """
UPDATE chatbot_project_taskrecord
SET finished_at = %(now)s, seconds = extract(epoch FROM %(now)s - started_at), outcome = %(outcome)s,
    succeeded_at = CASE WHEN %(outcome)s = 'done' THEN %(now)s ELSE succeeded_at END
WHERE name = %(name)s
"""
_FAILED = """
UPDATE chatbot_project_taskrecord SET failures = failures + 1, failed_at = %(now)s, error = %(error)s
WHERE name = %(name)s
"""


def in_a_worker(record: Callable[P, None]) -> Callable[P, None]:
    """For what signals call: nothing it meets reaches the task, and its connection goes back to the pool."""

    @wraps(record)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            record(*args, **kwargs)
        except DatabaseError:
            logger.warning("task_not_recorded", exc_info=True)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    return guarded


@worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
@in_a_worker
def note_tasks(**kwargs: Any) -> None:
    """A row for each task that there is, and none for those that there are no longer."""
    names = {name for name in app.tasks if not name.startswith("celery.")}
    TaskRecord.objects.exclude(name__in=names | COMMANDS).delete()
    TaskRecord.objects.bulk_create([TaskRecord(name=name) for name in sorted(names)], ignore_conflicts=True)


@task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
@in_a_worker
def note_start(sender: Task, **kwargs: Any) -> None:
    _execute(_STARTED, name=sender.name)


@task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
@in_a_worker
def note_end(sender: Task, state: str | None = None, **kwargs: Any) -> None:
    _execute(_ENDED, name=sender.name, outcome=outcome_of(state))


@contextmanager
def recorded(name: str) -> Iterator[None]:
    """Keep how one of COMMANDS ran, once it has ended, and alert where it failed; one that is killed leaves nothing."""
    began = timezone.now()
    try:
        yield
    except Exception as error:
        _note_command(name, began, Outcome.FAILED, told(error, error.__traceback__))
        raise
    _note_command(name, began, Outcome.DONE)


@in_a_worker
def _note_command(name: str, began: datetime, outcome: Outcome, error: str = "") -> None:
    _execute(_STARTED, name=name, now=began)
    if error:
        _execute(_FAILED, name=name, error=error)
        alert(name, error)
    _execute(_ENDED, name=name, outcome=outcome)


def outcome_of(state: str | None) -> Outcome:
    """What Celery calls ``state``."""
    return {"SUCCESS": Outcome.DONE, "RETRY": Outcome.AGAIN}.get(state or "", Outcome.FAILED)


@task_failure.connect(weak=False)  # type: ignore[untyped-decorator]
@in_a_worker
def note_failure(sender: Task, exception: BaseException, traceback: TracebackType | None = None, **kwargs: Any) -> None:
    """Keep what failed, and alert."""
    error = told(exception, traceback)
    _execute(_FAILED, name=sender.name, error=error)
    alert(sender.name, error)


def told(exception: BaseException, where: TracebackType | None) -> str:
    """The class of an error and the line that raised it. Its message may hold what people wrote."""
    # A process that was lost has no traceback of its own, and Celery gives a text.
    frames = traceback.extract_tb(where) if isinstance(where, TracebackType) else []
    line = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(exception).__name__}{line}"[:200]


def alert(name: str, error: str) -> bool:
    """Mail settings.ALERT_MAIL that the task failed, unless that was told within the hour. Whether a mail went out."""
    now = timezone.now()
    if not settings.ALERT_MAIL:
        return False
    quiet = Q(alerted_at=None) | Q(alerted_at__lte=now - ALERT_EVERY)
    # Who moves the time sends the mail: of many failures at once, one.
    if not TaskRecord.objects.filter(quiet, name=name).update(alerted_at=now):
        return False
    with translation.override(settings.LANGUAGE_CODE):
        letter = Letter(
            subject=_("A background task failed: %(task)s") % {"task": name},
            paragraphs=[
                _("%(task)s failed with %(error)s.") % {"task": name, "error": error},
                _("More of the same within the hour is not told again; the logs have the details."),
            ],
            link=f"{settings.BASE_URL}/admin/chatbot_project/taskrecord/",
            label=_("All background tasks"),
        )
        message = letter_message(letter, to=settings.ALERT_MAIL)
    try:
        message.send()
    except (SMTPException, OSError):
        logger.warning("alert_not_sent", exc_info=True, extra={"task": name})
        TaskRecord.objects.filter(name=name, alerted_at=now).update(alerted_at=None)  # the next failure tries again
        return False
    return True


def next_run(record: TaskRecord) -> datetime | None:
    """When the timetable has the task run next; ``None`` for one that is run on demand, or has never run."""
    if record.started_at is None:
        return None
    times = [
        schedules.maybe_schedule(entry["schedule"], app=app).remaining_estimate(record.started_at)
        for entry in app.conf.beat_schedule.values()
        if entry["task"] == record.name
    ]
    return timezone.now() + min(times) if times else None


def is_on_timetable(name: str) -> bool:
    """Whether beat starts the task."""
    return any(entry["task"] == name for entry in app.conf.beat_schedule.values())


def _execute(statement: str, **values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": timezone.now(), **values})
