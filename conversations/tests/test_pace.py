"""How fast replies are started: what a worker measures, and what is made of what all of them tell."""

import time

from chatbot_project.lib.redis import make_redis
from conversations.replies import pace
from conversations.replies.pace import Pace, Speedometer, added_up


def test_nothing_is_known_at_first_nor_of_replies_that_start_as_they_are_asked_for() -> None:
    measured = Pace(slots=10)
    for second in range(60):
        measured.started()
        measured.look(second, is_full=False)
    assert measured.per_second is None


def test_starts_count_while_all_slots_are_taken() -> None:
    measured = Pace(slots=10)
    measured.started(10)  # the slots fill up: that says nothing of how fast they become free
    measured.look(0, is_full=True)
    for second in range(1, 11):
        measured.started(3)
        measured.look(second, is_full=True)
    assert measured.per_second == 3.0


def test_a_line_that_stands_still_is_taken_for_slower_the_longer_it_does() -> None:
    measured, known = Pace(slots=1), []
    for second in range(200):
        measured.look(second, is_full=True)
        known.append(measured.per_second)
    assert (known[4], known[5], known[20], known[-1]) == (None, 1 / 5, 1 / 20, 1 / pace.WINDOW_SECONDS)


def test_else_it_is_what_the_slots_could_do() -> None:
    measured = Pace(slots=10)
    measured.look(0, is_full=False)
    for second in range(1, 4):
        measured.ended(2.0)
        measured.look(second, is_full=False)
    assert measured.per_second == 5.0


def test_what_is_long_past_does_not_count() -> None:
    measured = Pace(slots=10)
    measured.look(0, is_full=False)
    for _ in range(3):
        measured.ended(2.0)
    measured.look(1, is_full=False)
    measured.look(1 + pace.WINDOW_SECONDS, is_full=False)
    assert measured.per_second is None


def test_each_provider_has_its_own_and_others_have_none() -> None:
    speed = Speedometer({"a": 1, "b": 4})
    speed.look(0, {"a": 0, "b": 4})
    for second in range(1, 7):
        speed.started("a")
        speed.started("nowhere")
        speed.ended("nowhere", 1.0)
        known = speed.look(second, {"a": 0, "b": 4})
    assert known == {"a": 1.0}


def test_paces_of_workers_add_up_and_one_that_does_not_know_is_taken_to_be_like_the_others() -> None:
    assert added_up([{"a": 2.0, "b": 1.0}, {"a": 4.0}]) == {"a": 6.0, "b": 2.0}
    assert added_up([]) == {}


async def test_what_workers_tell_is_read_until_they_leave_or_fall_silent() -> None:
    client, now = make_redis(), time.time()  # web processes of other tests read it, too
    try:
        await client.delete(pace.KEY)
        await pace.tell(client, "one", {"a": 2.0}, now)
        await pace.tell(client, "two", {"a": 3.0}, now + 55)
        assert await pace.read(client, now + 10) == {"a": 5.0}
        assert await pace.read(client, now + 56) == {"a": 3.0}
        assert sorted(await client.hgetall(pace.KEY)) == [b"one", b"two"]
        assert await pace.read(client, now + 61) == {"a": 3.0}
        assert await client.hkeys(pace.KEY) == [b"two"]
        await pace.leave(client, "two")
        assert await pace.read(client, now + 61) == {}
    finally:
        await client.delete(pace.KEY)
        await client.aclose()
