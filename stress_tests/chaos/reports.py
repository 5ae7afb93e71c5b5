"""What chaos and soak found, as pages."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from stress_tests.chaos.recoveries import KIND_HEAD, RECOVERY_SECONDS, kind_rows
from stress_tests.reporting import Check, Plot, Report, Series, Table, parameters_of
from stress_tests.reporting.machine import Machine

MIB = 2**20


def chaos_report(
    figures: Mapping[str, Any], options: argparse.Namespace, wanted_p95_s: float, machine: Machine
) -> Report:
    counts, recovery, violations = figures["counts"], figures["recovery_s"], sum(figures["violations"].values())
    accepted, stored = counts.get("accepted", 0), counts.get("stored", 0)
    held_up = figures["held_up_s"]
    longest = [max(each["held_up"], default=0.0) for each in figures["recoveries"]]
    return Report(
        name="chaos_test",
        title="Chaos",
        headline=f"{accepted:,} accepted messages, {figures['faults']} faults: {violations} violations.",
        machine=machine,
        parameters=parameters_of(options),
        checks=[
            Check("nothing lost, doubled, cut, mixed or foreign", "0 violations", str(violations), violations == 0),
            Check("accepted messages that are stored", f"{accepted:,}", f"{stored:,}", accepted == stored),
            Check("replies that ended", "all", f"{len(figures['unsettled'])} did not", not figures["unsettled"]),
            Check(
                "next reply, P95", f"≤ {wanted_p95_s:g} s", f"{recovery['p95']:.2f} s", recovery["p95"] <= wanted_p95_s
            ),
            Check(
                "clients that were held up, P95",
                f"≤ {wanted_p95_s:g} s",
                f"{held_up['p95']:.2f} s",
                held_up["p95"] <= wanted_p95_s,
            ),
        ],
        tables=[
            Table("Counts", ("what", "number"), [(name, number) for name, number in counts.items()]),
            Table(
                "Recovery by kind of fault",
                KIND_HEAD,
                kind_rows(figures["recovery_by_kind"]),
                "Seconds from the part being back to the next reply that was shown as completed, to whomever; then how "
                "many times a client was held up from then on, and for how many seconds.",
            ),
            Table(
                "Recovery",
                ("fault", "next reply", "held up", "the longest"),
                [
                    (each["fault"], each["seconds"], len(each["held_up"]), max(each["held_up"], default=0.0))
                    for each in figures["recoveries"]
                ],
                "Seconds from the part being back to the next reply, clients that were held up, and the longest of it.",
            ),
        ],
        plots=[
            Plot("Recovery", "fault", "seconds", [
                Series("next reply", _by_number([each["seconds"] for each in figures["recoveries"]])),
                Series("held up, the longest", _by_number(longest)),
            ])
        ],
    )  # fmt: skip


def _by_number(times: Sequence[float | None]) -> list[tuple[float, float]]:
    """What did not come counts as RECOVERY_SECONDS."""
    return [(float(n), RECOVERY_SECONDS if t is None else float(t)) for n, t in enumerate(times, 1)]


def soak_report(
    figures: Mapping[str, Any], samples: Sequence[Mapping[str, float]], options: argparse.Namespace, machine: Machine
) -> Report:
    """``figures`` are those of ``soak_test.figures_of``."""
    series = figures["series"]
    violations, ended = sum(figures["violations"].values()), figures["counts"]
    broken = {how: ended.get(how, 0) for how in ("interrupted", "failed")}
    return Report(
        name="soak_test",
        title="Soak",
        headline=f"{figures['messages']:,} messages in {figures['hours']:.2f} h of {figures['users']} people.",
        machine=machine,
        parameters=parameters_of(options),
        checks=[
            Check("nothing lost, doubled, cut, mixed or foreign", "0 violations", str(violations), violations == 0),
            Check(
                "replies that broke off, failed, or did not end",
                "none",
                ", ".join(f"{number} {how}" for how, number in (*broken.items(), ("open", len(figures["unsettled"])))),
                not any(broken.values()) and not figures["unsettled"],
            ),
            Check(
                "people ask at the rate that was set",
                f"≥ {figures['expected']:,.0f} messages",
                f"{figures['messages']:,}",
                figures["messages"] >= figures["expected"],
            ),
            *(Check(each["name"], "flat", _slope(each), _flat(each["verdict"])) for each in series if each["verdict"]),
        ],
        tables=[
            Table(
                "Over time",
                ("series", "first", "last", "largest", "per hour", "95 % interval"),
                [
                    (
                        each["name"],
                        *(_sized(each, each[column]) for column in ("first", "last", "largest")),
                        _rate(each, each["per_hour"]),
                        _slope(each),
                    )
                    for each in series
                ],
                "Slopes of memory are shares of it; others are in their own unit.",
            )
        ],
        plots=[
            Plot("Memory", "minutes", "MiB", _lines(samples, "rss/", MIB)),
            Plot("Descriptors", "minutes", "number", _lines(samples, "fds/", 1)),
            Plot("Threads", "minutes", "number", _lines(samples, "threads/", 1)),
            Plot("Connections", "minutes", "number", _lines(samples, "connections/", 1)),
        ],
    )


def _slope(each: Mapping[str, Any]) -> str:
    return f"{_rate(each, each['low'])} to {_rate(each, each['high'])} an hour"


def _rate(each: Mapping[str, Any], rate: float) -> str:
    return f"{rate:+.2%}" if each["name"].startswith(("rss/", "memory/")) else f"{rate:+.3g}"


def _sized(each: Mapping[str, Any], value: float) -> str:
    if each["name"].startswith(("rss/", "memory/", "table/", "log/")):
        return f"{value / MIB:.2f} MiB"
    return f"{value:.0f}"


def _flat(verdict: str) -> bool | None:
    return None if verdict == "unclear" else verdict != "grows"


def _lines(samples: Sequence[Mapping[str, float]], prefix: str, unit: float) -> list[Series]:
    if not samples:
        return []
    begun = samples[0]["at"]
    return [
        Series(name.removeprefix(prefix), [((s["at"] - begun) / 60, s[name] / unit) for s in samples if name in s])
        for name in samples[0]
        if name.startswith(prefix)
    ]
