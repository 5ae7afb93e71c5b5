"""How long it took, after each fault, until replies came again: over all of them and by kind. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..bench_turns import percentile

RECOVERY_SECONDS = 60.0  # for the next reply after a fault; one that did not come counts as this

KIND_HEAD = ("fault", "times", "P50", "P95", "max")


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from a part being back to the first words of any reply that were heard, and to the next reply that was
    shown as completed; None where that did not come within RECOVERY_SECONDS."""

    fault: str
    part: str
    kind: str
    words: float | None
    seconds: float | None


def recovery_figures(recoveries: Sequence[Recovery]) -> dict[str, Any]:
    """What is reported of them: ``recovery_s`` and ``words_s`` over all, ``recovery_by_kind`` slowest first, and
    each."""
    kinds: dict[tuple[str, str], list[Recovery]] = {}
    for each in recoveries:
        kinds.setdefault((each.part, each.kind), []).append(each)
    by_kind = [
        {"part": part, "kind": kind, "times": len(those), **_spread([each.seconds for each in those])}
        for (part, kind), those in kinds.items()
    ]
    return {
        "recovery_s": _spread([each.seconds for each in recoveries]),
        "words_s": _spread([each.words for each in recoveries]),
        "recovery_by_kind": sorted(by_kind, key=lambda row: (-row["p95"], row["part"], row["kind"])),
        "recoveries": [asdict(each) for each in recoveries],
    }


def kind_rows(by_kind: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str, str, str]]:
    """A table's rows: kind of fault, how often it came, P50, P95 and the largest."""
    return [
        (f"{row['part']}: {row['kind']}", row["times"], *(f"{row[column]:.2f}" for column in ("p50", "p95", "max")))
        for row in by_kind
    ]


def _spread(times: Sequence[float | None]) -> dict[str, float]:
    ordered = sorted(RECOVERY_SECONDS if seconds is None else seconds for seconds in times)
    shares = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {name: round(percentile(ordered, share), 3) for name, share in shares.items()}
