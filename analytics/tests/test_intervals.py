"""How sure a share is."""

import pytest

from analytics.intervals import Interval, wilson
from analytics.pages.shares import interval_told


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # R: prop.test(81, 263, correct = FALSE); Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_intervals_are_those_of_the_literature(part: int, whole: int, low: float, high: float) -> None:
    assert wilson(part, whole) == pytest.approx((low, high), abs=5e-5)


def test_of_none_nothing_is_known() -> None:
    assert wilson(0, 0) is None


@pytest.mark.parametrize(("part", "whole"), [(-1, 3), (4, 3), (1, 0)])
def test_a_part_is_no_more_than_the_whole(part: int, whole: int) -> None:
    with pytest.raises(ValueError, match="is no part of"):
        wilson(part, whole)


def test_intervals_that_touch_overlap() -> None:
    assert Interval(0.1, 0.3).overlaps(Interval(0.3, 0.5))
    assert Interval(0.2, 0.25).overlaps(Interval(0.1, 0.5))
    assert not Interval(0.1, 0.29).overlaps(Interval(0.3, 0.5))


@pytest.mark.parametrize(
    ("interval", "told"),
    [((0.699, 0.972), "70–97 %"), ((0.0021, 0.0043), "0.2–0.4 %"), ((0.0, 0.16), "0–16 %"), ((0.97, 1.0), "97–100 %")],
)
def test_they_are_told_as_finely_as_they_are_narrow(interval: tuple[float, float], told: str) -> None:
    assert interval_told(Interval(*interval)) == told
