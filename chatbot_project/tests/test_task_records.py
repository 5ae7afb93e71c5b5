"""What is kept of background tasks, who is told of those that fail, and the page that shows them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import shared_task
from celery.exceptions import Reject
from django.conf import settings as django_settings
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from kombu import Producer, Queue
from kombu.transport import redis as redis_transport
from psycopg.conninfo import make_conninfo

from accounts import tasks
from accounts.models import User
from accounts.tests.factories import make_admin, make_moderator, make_user
from chatbot_project import task_records
from chatbot_project.celery import app
from chatbot_project.lib.redis import blocking_redis
from chatbot_project.models import TaskRecord
from conversations.tests.stack import wait_until

pytestmark = pytest.mark.django_db

PAGE = "/admin/chatbot_project/taskrecord/"
SEAL = "accounts.tasks.seal_audit"
CUT_OFF = "tests-cut-off"


class BrokenBackend(BaseEmailBackend):
    def send_messages(self, messages) -> int:
        raise ConnectionRefusedError("away")


@shared_task(name="tests.fails")
def fails(text: str) -> None:
    raise ValueError(f"{text} is a secret")


@shared_task(name="tests.again", bind=True, max_retries=1)
def again(self) -> None:
    raise self.retry(countdown=0, exc=ValueError("busy"))


@pytest.fixture
def alerts(settings) -> None:
    settings.ALERT_MAIL = ["ops@example.org", "night@example.org"]


def record(name: str = "tests.fails") -> TaskRecord:
    return TaskRecord.objects.get(name=name)


def test_a_run_leaves_when_it_was_how_long_it_took_and_how_it_ended() -> None:
    tasks.seal_audit.apply()
    tasks.seal_audit.apply()
    kept = record(SEAL)
    assert (kept.outcome, kept.runs, kept.failures) == ("done", 2, 0)
    assert kept.started_at <= kept.finished_at
    assert 0 <= kept.seconds < 60
    assert not kept.is_running


def test_a_failure_leaves_its_class_and_line_and_never_its_message() -> None:
    fails.apply(("ada@example.org",))
    kept = record()
    assert (kept.outcome, kept.failures) == ("failed", 1)
    assert kept.error.startswith("ValueError (test_task_records.py:")
    assert "ada" not in str(vars(kept))


def test_a_success_after_it_keeps_what_failed_last() -> None:
    fails.apply(("x",))
    task_records.note_start(sender=fails)
    task_records.note_end(sender=fails, state="SUCCESS")
    kept = record()
    assert kept.outcome == "done"
    assert kept.failed_at
    assert kept.error


def test_a_task_that_tries_again_has_not_failed(alerts, mailoutbox) -> None:
    task_records.note_start(sender=again)
    task_records.note_end(sender=again, state="RETRY")
    assert (record("tests.again").outcome, record("tests.again").failures) == ("again", 0)
    assert mailoutbox == []


def test_there_is_one_row_for_each_task_there_is_and_none_else() -> None:
    TaskRecord.objects.create(name="gone.with.the.last.release")
    tasks.seal_audit.apply()
    task_records.note_tasks()
    names = set(TaskRecord.objects.values_list("name", flat=True))
    assert names == {name for name in app.tasks if not name.startswith("celery.")}
    assert record(SEAL).runs == 1


def test_a_record_that_cannot_be_written_makes_no_task_fail(monkeypatch, caplog) -> None:
    def refuse(*args: object, **values: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(task_records, "_execute", refuse)
    assert tasks.seal_audit.apply().successful()
    assert "task_not_recorded" in caplog.text


# --- alerts


def test_a_failure_is_told_by_mail_once_an_hour(alerts, mailoutbox) -> None:
    for _ in range(3):
        fails.apply(("ada@example.org",))
    (message,) = mailoutbox
    assert message.to == ["ops@example.org", "night@example.org"]
    assert "tests.fails" in message.subject
    assert "ValueError (test_task_records.py:" in message.body
    html = message.alternatives[0].content
    assert "<img" not in html
    assert "ada@" not in message.body + html
    TaskRecord.objects.update(alerted_at=timezone.now() - timedelta(minutes=61))
    fails.apply(("x",))
    assert len(mailoutbox) == 2
    assert record().failures == 4


def test_one_tasks_silence_is_not_anothers(alerts, mailoutbox) -> None:
    fails.apply(("x",))
    task_records.note_start(sender=again)
    task_records.note_failure(sender=again, exception=Reject("no"))
    assert len(mailoutbox) == 2


def test_nobody_named_nobody_told(mailoutbox) -> None:
    fails.apply(("x",))
    assert mailoutbox == []
    assert record().failures == 1


def test_an_alert_that_did_not_go_out_goes_with_the_next_failure(alerts, settings, caplog, mailoutbox) -> None:
    before = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "chatbot_project.tests.test_task_records.BrokenBackend"
    fails.apply(("x",))
    assert "alert_not_sent" in caplog.text
    assert record().failures == 1
    settings.EMAIL_BACKEND = before
    fails.apply(("x",))
    assert len(mailoutbox) == 1


# --- the timetable


def test_every_task_of_the_timetable_is_there_and_expires_before_the_next() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert 0 < entry["options"]["expires"] <= entry["schedule"]


def test_the_next_run_is_an_interval_after_the_last() -> None:
    interval = timedelta(seconds=app.conf.beat_schedule["clear-expired"]["schedule"])
    kept = TaskRecord(name="accounts.tasks.clear_expired", started_at=timezone.now())
    assert abs(task_records.next_run(kept) - kept.started_at - interval) < timedelta(seconds=5)
    assert task_records.next_run(TaskRecord(name="accounts.tasks.send_mail", started_at=timezone.now())) is None
    assert task_records.next_run(TaskRecord(name=kept.name)) is None


# --- the page


def opened(user: User | None) -> Client:
    browser = Client()
    if user is not None:
        browser.force_login(user)
    return browser


def test_admins_see_them_and_nobody_else_does() -> None:
    tasks.seal_audit.apply()
    assert PAGE in opened(make_admin()).get("/admin/").content.decode()
    moderator = opened(make_moderator())
    assert PAGE not in moderator.get("/admin/").content.decode()
    assert moderator.get(PAGE).status_code == 403
    assert opened(make_user()).get(PAGE).status_code == 302
    assert opened(None).get(PAGE).status_code == 302


def test_the_page_says_how_each_task_stands(django_assert_max_num_queries) -> None:
    task_records.note_tasks()
    fails.apply(("x",))
    tasks.seal_audit.apply()
    task_records.note_start(sender=tasks.expire_guests)
    task_records.note_start(sender=tasks.clear_expired)
    TaskRecord.objects.filter(name="accounts.tasks.clear_expired").update(
        started_at=timezone.now() - timedelta(hours=1)
    )
    page = opened(make_admin())
    with django_assert_max_num_queries(8):
        html = page.get(PAGE).content.decode()
    for words in ("failed", "done", "at work", "does not end, or was killed", "never ran", "on demand", "ValueError ("):
        assert words in html
    assert html.index("tests.fails") < html.index(SEAL), "failures first"
    assert page.get(f"{PAGE}{SEAL}/change/", follow=True).status_code == 200
    page.post(PAGE, {"action": "delete_selected", "_selected_action": [SEAL], "post": "yes"})
    assert TaskRecord.objects.filter(name=SEAL).exists()


# --- the queue, and a real worker


@pytest.fixture
def channel() -> Iterator[Any]:
    """A worker's to the broker, with one task of a queue of its own that was taken and is not done."""
    with app.connection_for_read() as broker, broker.channel() as channel:
        queue = Queue(CUT_OFF)(channel)
        queue.declare()
        Producer(channel).publish({}, routing_key=CUT_OFF)
        assert queue.get() is not None
        yield channel
        queue.delete()


def test_a_task_that_was_cut_off_is_in_the_queue_again_but_not_one_that_may_still_run(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minutes, there in ((20, 0), (31, 1)):
        now = time.time() + minutes * 60
        monkeypatch.setattr(redis_transport, "time", lambda now=now: now)
        channel.qos.restore_visible(interval=1)
        assert blocking_redis().llen(CUT_OFF) == there


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_worker_keeps_how_its_tasks_ran() -> None:
    database = connection.settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    address = make_conninfo(**{key: database[name] for key, name in names.items() if database[name]})
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "chatbot_project", "worker", "--pool", "threads"]
    worker = subprocess.Popen(
        [*command, "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"],
        env=os.environ | {"DATABASE_URL": address}, cwd=django_settings.BASE_DIR,
    )  # fmt: skip
    try:
        wait_until(lambda: TaskRecord.objects.filter(name=SEAL).exists(), "a worker", 60)
        tasks.seal_audit.delay()
        tasks.send_mail.delay("no uuid")
        wait_until(lambda: record(SEAL).outcome == "done", "a run", 30)
        wait_until(lambda: record("accounts.tasks.send_mail").outcome == "failed", "a failure", 30)
        assert record("accounts.tasks.send_mail").error.startswith("ValueError (")
    finally:
        worker.terminate()
        worker.wait(30)
