"""What processes cost, from Linux's /proc: processor time and resident memory of each of the product's parts."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """All parts at one moment: processor seconds since each one's start, and resident bytes; ``busy_s`` as in
    ``Usage``."""

    at: float
    busy_s: float
    cpu_s: Mapping[str, float]
    rss: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds at one moment, of which only differences mean something: ``busy_s`` of everything on the
    processors that this process may use, the kernel and what a host took away included; ``own_s`` of this process and
    all that it started, dead ones included once they were waited for."""

    at: float
    busy_s: float
    own_s: float

    @classmethod
    def now(cls) -> "Usage":
        return cls(time.monotonic(), _busy_s(), _tree_cpu_s(os.getpid()))


def others_percent(before: Usage, after: Usage, processors: int) -> float:
    """What others used in between, in percent of the processors."""
    others = after.busy_s - before.busy_s - (after.own_s - before.own_s)
    return max(0.0, 100 * others / (processors * (after.at - before.at)))


class Parts:
    """The processes to account for, by name; each with all its descendants, dead ones included."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = dict(pids)

    def sample(self) -> Sample:
        """The parts as they stand. One that has ended counts as nothing."""
        return Sample(
            at=time.monotonic(),
            busy_s=_busy_s(),
            cpu_s={name: _tree_cpu_s(pid) for name, pid in self.pids.items()},
            rss={name: rss_bytes(pid) for name, pid in self.pids.items()},
        )


def rss_bytes(pid: int) -> int:
    """Resident memory of one process; 0 where it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def tree_rss_bytes(pid: int) -> int:
    """Resident memory of a process and of all that live below it; what several have in common counts for each."""
    return sum(map(rss_bytes, _tree(pid)))


def biggest(pid: int) -> int:
    """Of a process and all that live below it the one with the most resident memory."""
    return max(_tree(pid), key=rss_bytes)


def cpu_between(before: Sample, after: Sample) -> dict[str, float]:
    """Processor seconds of each part from one sample to the other."""
    return {name: round(after.cpu_s[name] - before.cpu_s[name], 3) for name in before.cpu_s}


def shares_between(samples: list[Sample], start: float, end: float) -> dict[str, float]:
    """Each part's share of one processor over the samples that lie within the window; empty where fewer than two do."""
    within = [sample for sample in samples if start <= sample.at <= end]
    if len(within) < 2:
        return {}
    first, last = within[0], within[-1]
    return {name: round(cpu / (last.at - first.at), 3) for name, cpu in cpu_between(first, last).items()}


def _busy_s() -> float:
    """Time less idle time and waiting for disks. Linux measures these two, but counts what is busy by ticks, some
    percent too low."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    idle = sum(int(line[4]) + int(line[5]) for line in lines if line[0] in usable)
    return len(usable) * time.monotonic() - idle / TICKS


def _tree_cpu_s(pid: int) -> float:
    """User and system time of the process, of its children that were waited for, and of all that live below it."""
    total = 0.0
    for each in _tree(pid):
        with contextlib.suppress(OSError):
            # Fields are counted after the name, which stands in parentheses and may hold anything.
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15]) / TICKS
    return total


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from _tree(int(child))
