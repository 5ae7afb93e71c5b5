"""Celery's queue while no worker is there: bounded, and worth nothing for ever."""

from collections.abc import Iterator
from unittest.mock import Mock, call

import pytest
from kombu.exceptions import OperationalError

from accounts.services import _hand_to_worker
from chatbot_project import beat_heartbeat, task_queue
from chatbot_project.beat_heartbeat import BEAT_KEY
from chatbot_project.celery import app
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import RedisError, blocking_redis
from chatbot_project.lib.task_order import KEYS, LAST, key_of
from chatbot_project.task_queue import QueueFull
from conversations import tasks
from faqs.translation_tasks import draft_translation

SEAL = "accounts.tasks.seal_audit"


@pytest.fixture
def full_at_two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty queue that takes two tasks and is looked at each time."""
    monkeypatch.setattr(task_queue, "MOST_WAITING", 2)
    monkeypatch.setattr(task_queue, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(task_queue, "_looked", {})
    blocking_redis().delete(*KEYS)
    yield
    blocking_redis().delete(*KEYS)


def waiting() -> list[int]:
    """How many tasks wait that somebody waits for, how many behind them, and how many last."""
    return [blocking_redis().llen(key) for key in KEYS]


def test_what_comes_beyond_the_bound_is_not_queued_and_its_sender_goes_on(
    full_at_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocking_redis().delete(BEAT_KEY)
    for _ in range(2):
        tasks.make_title.apply_async((str(uuid7()),), retry=False)
    with pytest.raises(QueueFull):
        tasks.make_title.apply_async((str(uuid7()),), retry=False)
    for _ in range(3):
        _hand_to_worker(uuid7())  # the third mail waits in the database
    monkeypatch.setattr(beat_heartbeat, "_told_at", float("-inf"))
    assert app.tasks[SEAL].apply_async(headers={"celery_beat_task": True}) is None
    assert blocking_redis().exists(BEAT_KEY)
    assert waiting() == [2, 2, 0]
    blocking_redis().lpop(KEYS[1])
    tasks.make_title.apply_async((str(uuid7()),), retry=False)
    assert waiting() == [2, 2, 0]


def test_what_somebody_waits_for_is_taken_up_before_what_replies_set_going(full_at_two: None) -> None:
    tasks.make_title.apply_async((str(uuid7()),))
    _hand_to_worker(uuid7())
    with app.connection_for_read() as connection, connection.SimpleQueue(app.conf.task_default_queue) as waits:
        taken = [waits.get(timeout=5) for _ in range(2)]
        names = [message.headers["task"] for message in taken]
        assert names == ["accounts.tasks.send_mail", "conversations.tasks.make_title"]
        for message in taken:
            message.ack()


def test_a_task_that_is_tried_again_stays_behind(full_at_two: None) -> None:
    as_taken = {"exchange": "", "routing_key": app.conf.task_default_queue, "priority": LAST}
    draft_translation.push_request(args=["", "de"], called_directly=False, delivery_info=as_taken)
    try:
        draft_translation.retry(countdown=60, throw=False)
    finally:
        draft_translation.pop_request()
    assert waiting() == [0, 0, 1]


def test_whatever_stands_behind_is_a_task_and_in_a_list_that_is_known() -> None:
    app.autodiscover_tasks(force=True)
    assert set(app.conf.task_routes) - set(app.tasks) == set()
    assert {key_of(route["priority"]) for route in app.conf.task_routes.values()} == set(KEYS[1:])


def test_the_length_is_looked_up_once_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = Mock(llen=Mock(return_value=1))
    monkeypatch.setattr(task_queue, "blocking_redis", lambda: redis)
    monkeypatch.setattr(task_queue, "_looked", {})
    monkeypatch.setattr(task_queue, "MOST_WAITING", 1)
    assert [task_queue.is_full(key) for _ in range(3) for key in KEYS] == [True] * 9
    assert redis.llen.mock_calls == [call(key) for key in KEYS]
    redis.llen.side_effect = RedisError
    monkeypatch.setattr(task_queue, "_looked", {})
    with pytest.raises(OperationalError):
        tasks.make_title.apply_async((str(uuid7()),), retry=False)


def test_a_moments_stall_of_redis_is_left_to_sending_where_that_tries_again(
    full_at_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a task's that is tried again later, or beat's: nobody would send those anew."""
    stalled = Mock(llen=Mock(side_effect=RedisError))
    monkeypatch.setattr(task_queue, "blocking_redis", lambda: stalled)
    tasks.make_title.apply_async((str(uuid7()),))
    stalled.llen.assert_called_once_with(KEYS[1])
    assert waiting() == [0, 1, 0]


def test_nobody_waits_for_ever_for_a_broker_that_hangs() -> None:
    with app.connection_for_write() as connection:
        parameters = connection.default_channel._connparams()
    assert parameters["socket_timeout"] == 10


def test_no_task_waits_for_ever() -> None:
    app.autodiscover_tasks(force=True)
    on_time = {entry["task"] for entry in app.conf.beat_schedule.values()}  # expires before the next is due
    sent = {name for name in app.tasks if not name.startswith(("celery.", "tests.", "leaky."))} - on_time
    assert {name for name in sent if not app.tasks[name].expires} == {
        "chatbot_project.tasks.answer_doctor"
    }  # says when
