"""How long it took, after each fault, until replies came again, and for how long each client was held up: over all
faults and by kind. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..bench_turns import percentile
from .waits import Waits

RECOVERY_SECONDS = 60.0  # for the next reply after a fault and for who is held up; what did not come counts as this

KIND_HEAD = ("fault", "times", "next reply, P50", "P95", "max", "held up", "P50", "P95", "max")


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from a part being back to the next reply that was shown as completed, to whomever, None where that did
    not come within RECOVERY_SECONDS; and for how long each client was held up from then on that was at all."""

    fault: str
    part: str
    kind: str
    seconds: float | None
    held_up: Sequence[float] = ()


def held_up_for(waits: Waits, back: float, *, until: float, now: float) -> float | None:
    """For how long after ``back`` a client was held up by what began before ``until``: RECOVERY_SECONDS where it still
    is ``now``, None where it was not."""
    if waits.since is not None and waits.since < until and waits.held_up_at(now):
        return RECOVERY_SECONDS
    return waits.after(back, until=until)


def recovery_figures(recoveries: Sequence[Recovery]) -> dict[str, Any]:
    """What is reported of them: ``recovery_s`` over all faults, ``held_up_s`` over all clients that were, with their
    number; ``recovery_by_kind``, slowest first, and each."""
    kinds: dict[tuple[str, str], list[Recovery]] = {}
    for each in recoveries:
        kinds.setdefault((each.part, each.kind), []).append(each)
    by_kind = [
        {
            "part": part,
            "kind": kind,
            "times": len(those),
            **_spread([each.seconds for each in those]),
            "held_up_s": _held_up(those),
        }
        for (part, kind), those in kinds.items()
    ]
    return {
        "recovery_s": _spread([each.seconds for each in recoveries]),
        "held_up_s": _held_up(recoveries),
        "recovery_by_kind": sorted(by_kind, key=_slowness),
        "recoveries": [asdict(each) for each in recoveries],
    }


def kind_rows(by_kind: Sequence[Mapping[str, Any]]) -> list[tuple[str | int, ...]]:
    """A table's rows, under KIND_HEAD."""
    return [
        (
            f"{row['part']}: {row['kind']}", row["times"], *_seconds(row),
            row["held_up_s"]["clients"], *_seconds(row["held_up_s"]),
        )
        for row in by_kind
    ]  # fmt: skip


def _seconds(spread: Mapping[str, float]) -> tuple[str, str, str]:
    return (f"{spread['p50']:.2f}", f"{spread['p95']:.2f}", f"{spread['max']:.2f}")


def _slowness(row: Mapping[str, Any]) -> tuple[float, float, str, str]:
    return (-row["held_up_s"]["p95"], -row["p95"], row["part"], row["kind"])


def _held_up(recoveries: Sequence[Recovery]) -> dict[str, float]:
    times = [seconds for each in recoveries for seconds in each.held_up]
    return {"clients": len(times), **(_spread(times) if times else dict.fromkeys(("p50", "p95", "max"), 0.0))}


def _spread(times: Sequence[float | None]) -> dict[str, float]:
    ordered = sorted(RECOVERY_SECONDS if seconds is None else seconds for seconds in times)
    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(percentile(ordered, share), 3) for name, share in shares.items()}
