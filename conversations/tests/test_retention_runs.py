"""Removing what is over while rows are in use, two at once, out of time, and after it was killed."""

import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from threading import Event, Thread
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from accounts import tasks
from accounts.models import AuditEvent, RetentionRun, User
from accounts.retention import policies, runs, sweeps
from accounts.tests.factories import make_admin
from chatbot_project.embedded.processes import is_alive
from chatbot_project.lib.db import named_lock
from conversations.models import Conversation, Feedback, Message, Tally
from personas.models import Persona
from stress_tests.retention_seed import fill

from .factories import make_persona
from .retaining import a_month, admin, aged, left, run
from .stack import wait_until

__all__ = ["a_month", "admin"]  # fixtures
pytestmark = pytest.mark.django_db


@contextmanager
def locked_elsewhere(conversation: Conversation) -> Any:
    """Another transaction is at work on it."""
    locked, done = Event(), Event()

    def hold() -> None:
        with transaction.atomic():
            Conversation.objects.select_for_update().get(pk=conversation.pk)
            locked.set()
            done.wait(30)
        connection.close()

    thread = Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    yield
    done.set()
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_rows_in_use_are_passed_over_and_reported(owner: User, persona: Persona, admin: User) -> None:
    policies.set_policy(actor=admin, data_class="content", days=30, reason="x")
    stalled, *_others = [aged(owner, 31) for _ in range(4)]
    with locked_elsewhere(stalled):
        said = run()
    assert left() == {stalled.pk}
    assert RetentionRun.objects.get().skipped == {"unused_conversations": 1}
    assert "skipped" in said
    run()
    assert left() == set()


def test_a_row_that_cannot_go_keeps_no_other(owner: User, persona: Persona, a_month: None, monkeypatch) -> None:
    stuck, *_others = [aged(owner, 31) for _ in range(4)]
    sweep = sweeps._sweeps["unused_conversations"]

    def refuse(keys: Any) -> int:
        if stuck.pk in keys:
            raise models.ProtectedError("kept", set())
        return sweep.remove(keys)

    monkeypatch.setitem(sweeps._sweeps, sweep.key, replace(sweep, remove=refuse))
    run()
    assert left() == {stuck.pk}
    found = RetentionRun.objects.get()
    assert (found.removed, found.skipped) == ({"unused_conversations": 3}, {"unused_conversations": 1})


@pytest.mark.django_db(transaction=True)
def test_two_runs_do_not_meet() -> None:
    taken, done = Event(), Event()

    def other() -> None:
        with named_lock(runs.LOCK) as mine:
            assert mine
            taken.set()
            done.wait(30)
        connection.close()

    thread = Thread(target=other)
    thread.start()
    assert taken.wait(10)
    with pytest.raises(CommandError, match="Another run"):
        run()
    assert tasks.apply_retention() is False
    done.set()
    thread.join()
    assert tasks.apply_retention() is True


def test_beat_has_it_once_a_day_and_a_run_without_time_is_gone_on_with(
    owner: User, persona: Persona, a_month: None, monkeypatch
) -> None:
    aged(owner, 31)
    monkeypatch.setattr(tasks, "RETENTION_SECONDS", -1)
    assert tasks.apply_retention() is False
    assert len(left()) == 1
    unfinished = RetentionRun.objects.get()
    monkeypatch.setattr(tasks, "RETENTION_SECONDS", 60)
    assert tasks.apply_retention() is True
    assert RetentionRun.objects.get().pk == unfinished.pk
    assert left() == set()
    aged(owner, 31)
    assert tasks.apply_retention() is False, "not again today"
    RetentionRun.objects.update(finished_at=timezone.now() - timedelta(hours=21))
    assert tasks.apply_retention() is True


# --- killed


def nobody_is_at_work() -> bool:
    with named_lock(runs.LOCK) as mine, transaction.atomic():
        list(RetentionRun.objects.select_for_update())  # what was being committed is there, or is not
        return mine


#: For each line that it reads it runs the command in a process of its own, and tells its id: all is imported once.
COMMANDS = """
import os, sys, django
django.setup()
from django.core.management import call_command
from accounts.management.commands import apply_retention
for _line in sys.stdin:
    if (child := os.fork()) == 0:
        call_command(apply_retention.Command(), stdout=open(os.devnull, "w"))
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
def test_killed_at_any_point_it_is_gone_on_with_and_recorded_once(owner: User) -> None:
    database = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    address = make_conninfo(**{key: database[name] for key, name in names.items() if database[name]})
    policies.set_policy(actor=make_admin(), data_class="content", days=30, reason="x")
    version = make_persona().published_id
    conversations, turns = 4000, 4
    with transaction.atomic():
        fill(owner=owner.pk, version=version, conversations=conversations, turns=turns,
             at=timezone.now() - timedelta(days=40))  # fmt: skip
    chance = random.Random(5)
    points = sorted(chance.randrange(0, conversations - 800) for _ in range(20))
    cut_off = 0
    with subprocess.Popen(
        [sys.executable, "-c", COMMANDS], cwd=django_settings.BASE_DIR, env=os.environ | {"DATABASE_URL": address},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as forks:  # fmt: skip
        for point in points:
            forks.stdin.write("\n")
            pid = int(forks.stdout.readline())
            wait_until(
                lambda point=point, pid=pid: conversations - Conversation.objects.count() >= point + 1
                or not is_alive(pid),
                "a part is removed", 60,
            )  # fmt: skip
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not is_alive(pid), "it is gone")
            wait_until(nobody_is_at_work, "the server has let go of the killed one's transaction")
            gone = conversations - Conversation.objects.count()
            # What is removed is whole and counted once, and so is what is not.
            assert Message.objects.count() == 2 * turns * (conversations - gone)
            assert Tally.objects.count() == gone * (2 * turns + 1)
            found = RetentionRun.objects.get()
            assert found.removed.get("unused_conversations", 0) == gone
            if found.finished_at is not None:
                break
            cut_off += 1
            assert not AuditEvent.objects.filter(action="retention.applied").exists()
    assert cut_off > 5
    run()
    assert left() == set()
    assert not Feedback.objects.exists()
    finished = RetentionRun.objects.order_by("started_at").first()
    assert finished.removed == {"unused_conversations": conversations}
    event = AuditEvent.objects.filter(action="retention.applied").order_by("pk").first()
    assert event.details["removed"] == {"unused_conversations": conversations}
    events = AuditEvent.objects.filter(action="retention.applied").count()
    assert events == RetentionRun.objects.count() == RetentionRun.objects.exclude(finished_at=None).count()
    tasks.seal_audit()
    call_command("verify_audit", stdout=StringIO())
