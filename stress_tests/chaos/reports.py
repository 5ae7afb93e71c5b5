"""What chaos and soak found, as pages."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from stress_tests.chaos.recoveries import KIND_HEAD, kind_rows
from stress_tests.reporting import Check, Plot, Report, Series, Table, parameters_of
from stress_tests.reporting.machine import Machine

MIB = 2**20


def chaos_report(
    figures: Mapping[str, Any], options: argparse.Namespace, wanted_p95_s: float, machine: Machine
) -> Report:
    counts, recovery, violations = figures["counts"], figures["recovery_s"], sum(figures["violations"].values())
    accepted, stored = counts.get("accepted", 0), counts.get("stored", 0)
    done = [each for each in figures["recoveries"] if each["seconds"] is not None]
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
                "recovery P95", f"≤ {wanted_p95_s:g} s", f"{recovery['p95']:.2f} s", recovery["p95"] <= wanted_p95_s
            ),
        ],
        tables=[
            Table("Counts", ("what", "number"), [(name, number) for name, number in counts.items()]),
            Table(
                "Recovery by kind of fault",
                KIND_HEAD,
                kind_rows(figures["recovery_by_kind"]),
                "Seconds from the part being back to the next reply that was shown as completed.",
            ),
            Table(
                "Recovery",
                ("fault", "first words", "seconds"),
                [(each["fault"], each["words"], each["seconds"]) for each in figures["recoveries"]],
                "From the part being back to the first words of any reply, and to the next one that was completed.",
            ),
        ],
        plots=[
            Plot("Recovery", "fault", "seconds", [
                Series("seconds", [(float(number), float(each["seconds"])) for number, each in enumerate(done, 1)])
            ])
        ],
    )  # fmt: skip


def soak_report(
    figures: Mapping[str, Any], samples: Sequence[Mapping[str, float]], options: argparse.Namespace, machine: Machine
) -> Report:
    judged = [each for each in figures["series"] if each["verdict"]]
    violations = sum(figures["violations"].values())
    return Report(
        name="soak_test",
        title="Soak",
        headline=f"{figures['messages']:,} messages in {figures['hours']:.2f} h of {options.users} people.",
        machine=machine,
        parameters=parameters_of(options),
        checks=[
            Check("nothing lost, doubled, cut, mixed or foreign", "0 violations", str(violations), violations == 0),
            *(Check(each["name"], "flat", _slope_told(each), _flat(each["verdict"])) for each in judged),
        ],
        tables=[
            Table(
                "Over time",
                ("series", "first", "last", "largest", "per hour"),
                [
                    tuple(each[column] for column in ("name", "first", "last", "largest", "per_hour"))
                    for each in figures["series"]
                ],
                "Slopes of memory are shares of it; others are in their own unit.",
            )
        ],
        plots=[
            Plot("Memory", "minutes", "MiB", _lines(samples, "rss/", MIB)),
            Plot("Descriptors", "minutes", "number", _lines(samples, "fds/", 1)),
            Plot("Connections", "minutes", "number", _lines(samples, "connections/", 1)),
        ],
    )


def _slope_told(series: Mapping[str, Any]) -> str:
    """Its 95 % interval; of memory a share, as it is judged."""
    low, high = series["low"], series["high"]
    if series["name"].startswith("rss/"):
        return f"{100 * low:+.2f} % to {100 * high:+.2f} % an hour"
    return f"{low:+.3g} to {high:+.3g} per hour"


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
