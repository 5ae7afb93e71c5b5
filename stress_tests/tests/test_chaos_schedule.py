"""Schedules of faults: made from the seed alone, and fair."""

from collections import Counter

import pytest

from stress_tests.chaos.schedule import KINDS, schedule


def test_same_seed_gives_the_same_schedule_and_another_another() -> None:
    assert schedule(5, 50) == schedule(5, 50)
    assert schedule(5, 50) != schedule(6, 50)


def test_longer_schedule_begins_with_the_shorter_one() -> None:
    assert schedule(5, 60)[:20] == schedule(5, 20)


def test_every_kind_of_every_part_comes_up() -> None:
    faults = schedule(1, 11 * len(KINDS))
    assert {(f.part, f.kind) for f in faults} == {(part, kind) for part, kinds in KINDS.items() for kind in kinds}
    assert set(Counter(fault.part for fault in faults).values()) == {11}


def test_only_parts_that_were_asked_for_come_up() -> None:
    assert {fault.part for fault in schedule(1, 30, ["web", "redis"])} == {"web", "redis"}
    with pytest.raises(ValueError, match="no such part: moon"):
        schedule(1, 3, ["moon"])
