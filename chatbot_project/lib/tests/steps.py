"""What a piece of work costs, in lines of Python: the same on every machine, however busy it is."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps_of(work: Callable[[], object]) -> int:
    """How many lines of Python ``work`` runs, in this thread.

    What runs in C (a regular expression, a sort) counts as the line that calls it; what that takes is measured by
    ``stress_tests/bench_hostile.py``.
    """
    count = 0

    def count_line(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return count_line

    before = sys.gettrace()
    sys.settrace(count_line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[str], object], piece: str, size: int) -> float:
    """How many times the lines of ``size`` characters of ``piece`` twice as many take: about 2 where work is linear."""
    text = piece * (size // len(piece))
    return steps_of(lambda: work(text + text)) / max(steps_of(lambda: work(text)), 1000)
