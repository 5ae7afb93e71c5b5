"""Grouping by similarity: the running mean, who joins whom, and what the figures of the measurement mean."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from faqs.gap_grouping import group_in_turn, measure_grouping, measure_pairs, moved_mean


def unit(*numbers: float) -> np.ndarray:
    vector = np.asarray(numbers, dtype=np.float32)
    return vector / np.linalg.norm(vector)


def at_angle(*degrees: float) -> np.ndarray:
    return np.stack([unit(np.cos(np.radians(a)), np.sin(np.radians(a))) for a in degrees])


def test_a_mean_moves_less_the_more_it_stands_for() -> None:
    mean, other = unit(1, 0), unit(0, 1)
    assert moved_mean(mean, 1, other) == pytest.approx(unit(1, 1))
    assert moved_mean(mean, 9, other) == pytest.approx(unit(9, 1))
    assert moved_mean(mean, 9, other).dtype == np.float32


def test_vectors_that_cancel_out_leave_the_mean_as_it_was() -> None:
    assert moved_mean(unit(1, 0), 1, unit(-1, 0)) == pytest.approx(unit(1, 0))


@given(st.lists(st.integers(0, 359), min_size=1, max_size=30))
def test_a_mean_is_always_of_length_1(angles: list[int]) -> None:
    mean, *others = at_angle(*angles)
    for count, vector in enumerate(others, 1):
        mean = moved_mean(mean, count, vector)
        assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-5)


def test_each_joins_the_nearest_group_or_begins_its_own() -> None:
    assert group_in_turn(at_angle(0, 90, 10, 80, 180), 0.95) == [0, 1, 0, 1, 2]
    assert group_in_turn(at_angle(0, 90), -1.0) == [0, 0]
    assert group_in_turn(at_angle(0, 0), 1.1) == [0, 1]
    assert group_in_turn(np.zeros((0, 2), dtype=np.float32), 0.5) == []


def test_figures_of_groups_and_pairs() -> None:
    vectors = at_angle(0, 5, 10, 90, 95)
    found = measure_grouping(vectors, ["a", "a", "b", "b", "b"], 0.9)
    assert (found.groups, found.purity, found.recurring) == (2, 0.8, 0.6)
    # Of one intent: (0, 5) and (90, 95) are near, (10, 90) and (10, 95) are not.
    pairs = measure_pairs(vectors, ["a", "a", "b", "b", "b"], 0.9)
    assert pairs.same == pytest.approx(2 / 4)
    assert pairs.other == pytest.approx(2 / 6)
    assert measure_pairs(vectors[:1], ["a"], 0.9).same == 0


def test_the_command_shows_what_each_threshold_does(tmp_path: Path) -> None:
    file = tmp_path / "questions.csv"
    file.write_text("text,category\nlost my card,lost\nlost my card!,lost\nwhich currencies?,currency\n")
    out = StringIO()
    call_command("measure_gaps", str(file), "--folds", "1", "--thresholds", "-1.0", "0.7", "1.01", stdout=out)
    rows = [line.split() for line in out.getvalue().splitlines()[1:]]
    assert [row[0] for row in rows] == ["-1.00", "0.70", "1.01"]
    assert [row[3] for row in rows] == ["1", "2", "3"]
    assert rows[1][1:3] == ["1.000", "0.0000"]


@pytest.mark.parametrize(
    "content", [None, b"a,b\n1,2\n", b"text,category\nx,\ny,z\n", b"text,category\nx,y\n", b"\xff"]
)
def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "questions.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=r"questions\.csv"):
        call_command("measure_gaps", str(file))
