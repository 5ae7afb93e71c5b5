"""Waits for what is away: short at first, longer with time, never longer than wanted, and not in step."""

from chatbot_project.lib.backoff import Backoff


def test_waits_grow_up_to_the_longest_and_keep_half_of_it_at_least() -> None:
    waits = Backoff(0.1, 1.0)
    for full in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
        assert full / 2 <= waits.next() <= full


def test_after_an_answer_the_next_absence_begins_anew() -> None:
    waits = Backoff(0.1, 1.0)
    for _absence in range(5):
        waits.next()
    waits.reset()
    assert waits.next() <= 0.1


def test_two_who_lost_the_same_do_not_wait_equally_long() -> None:
    assert len({Backoff(0.1, 1.0).next() for _each in range(10)}) > 1
