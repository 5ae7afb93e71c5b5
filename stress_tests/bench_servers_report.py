"""What bench_servers found of each server: rounds put together, what is wanted, and the report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .bench_turns import percentile, percentiles_ms
from .reporting import Check, Plot, Report, Series, Table, exactly, parameters_of
from .reporting.command import Options

OURS = "uvicorn"
KINDS = ("page", "read")
PARTS = ("web", "postgres", "redis")


def order_of(names: Sequence[str], rounds: int) -> list[str]:
    """There and back again, so that what changes with time falls to all of them."""
    return [name for number in range(rounds) for name in (names if number % 2 == 0 else reversed(names))]


def together(legs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All rounds of one server."""
    token_us = [leg["follow"]["cpu_us_per_token_and_tab"] for leg in legs]
    return {kind: _requests([leg[kind] for leg in legs]) for kind in KINDS} | {
        "sockets": sum(leg["open"]["sockets"] for leg in legs),
        "opened": sum(leg["open"]["opened"] for leg in legs),
        "opening_ms": _mean([leg["open"]["cpu_ms_per_socket"] for leg in legs]),
        "kib_per_socket": _mean([leg["open"]["kib_per_socket"] for leg in legs]),
        "mib_ready": _mean([leg["mib_ready"] for leg in legs]),
        "mib_open": _mean([leg["mib_open"] for leg in legs]),
        "idle_us": {part: _mean([leg["idle_us"][part] for leg in legs]) for part in PARTS},
        "pings": sum(leg["ping"]["due"] for leg in legs),
        "pongs": sum(leg["ping"]["answered"] for leg in legs),
        "ping_us": _mean([leg["ping"]["cpu_us_per_ping"] for leg in legs]),
        "pong_p95_ms": _latest([leg["ping"]["pong_ms"]["p95"] for leg in legs]),
        "tabs": sum(leg["follow"]["tabs"] for leg in legs),
        "whole": sum(leg["follow"]["whole"] for leg in legs),
        "token_us": _mean(token_us),
        "lag_p95_ms": _latest([leg["follow"]["lag_ms"]["p95"] for leg in legs]),
        "ends": [leg["end"] for leg in legs],
        "slow": [leg["slow"] for leg in legs if "slow" in leg],
        "rounds": [
            {
                "page_ms": 1e3 * leg["page"]["cpu_s"] / leg["page"]["sent"],
                "page_p95_ms": percentiles_ms(leg["page"]["times_s"])["p95"],
                "read_ms": 1e3 * leg["read"]["cpu_s"] / leg["read"]["sent"],
                "read_p95_ms": percentiles_ms(leg["read"]["times_s"])["p95"],
                "ping_us": leg["ping"]["cpu_us_per_ping"],
                "token_us": us,
                "kib_per_socket": leg["open"]["kib_per_socket"],
            }
            for leg, us in zip(legs, token_us, strict=True)
        ],
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _latest(values: Sequence[float | None]) -> float | None:
    """The largest; None where a round has none, as nothing came in it."""
    told = [value for value in values if value is not None]
    return max(told) if len(told) == len(values) else None


def _requests(phases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    statuses: Counter[str] = Counter()
    for phase in phases:
        statuses.update(phase["statuses"])
    sent = sum(phase["sent"] for phase in phases)
    times = sorted(time for phase in phases for time in phase["times_s"])
    cpu_s = sum(phase["cpu_s"] for phase in phases)
    return {
        "sent": sent,
        "statuses": dict(statuses),
        "cpu_ms": 1e3 * cpu_s / sent,
        "per_processor_s": sent / cpu_s if cpu_s else None,
        "ms": percentiles_ms(times),
        "ranks": [(share, 1e3 * percentile(times, share / 100)) for share in range(1, 101)] if times else [],
    }


def judged(found: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Each has to do the work; ours to send its tabs elsewhere before it ends. Which is cheaper is no verdict."""
    checks = []
    for name, each in found.items():
        checks += [
            exactly(f"{name}: {kind}s answered", each[kind]["statuses"].get("200", 0), each[kind]["sent"])
            for kind in KINDS
        ]
        checks += [
            exactly(f"{name}: sockets opened", each["opened"], each["sockets"]),
            exactly(f"{name}: pings answered", each["pongs"], each["pings"]),
            exactly(f"{name}: tabs that hold the whole reply", each["whole"], each["tabs"]),
        ]
    for number, end in enumerate(found[OURS]["ends"] if OURS in found else (), 1):
        checks.append(exactly(f"{OURS}: sockets told before it ended, round {number}", end["told"], end["sockets"]))
    return checks


def report_of(
    found: Mapping[str, Mapping[str, Any]],
    versions: Mapping[str, str],
    how: Mapping[str, str],
    options: Options,
    machine: Mapping[str, Any],
) -> Report:
    """``how`` says how each server is run."""
    missing = [name for name in options.servers if name not in versions]
    note = f"Not installed, and left out: {', '.join(missing)}." if missing else ""
    return Report(
        name="bench_servers",
        title="Servers of the web process",
        headline="; ".join(_in_a_line(name, each) for name, each in found.items()) + f". {note}".rstrip(),
        machine=machine,
        parameters=parameters_of(options) | {"servers": ", ".join(f"{name} {versions[name]}" for name in versions)},
        checks=judged(found),
        tables=[
            Table("Servers", ("server", "version", "how"),
                  [(name, versions[name], how[name]) for name in found], note),
            Table(
                "HTTP",
                ("server", "processor ms", "in a second of a processor", "P50 ms", "P95 ms", "P99 ms", "statuses"),
                [_http_row(name, kind, each[kind]) for kind in KINDS for name, each in found.items()],
                f"{options.page_rate:g} pages and {options.read_rate:g} reads a second, each at its moment; processor "
                "time of the web process.",
            ),
            Table(
                "WebSocket",
                ("server", "ping µs", "pong P95 ms", "token to a tab µs", "lag P95 ms", "opening ms", "KiB a socket",
                 "MiB ready"),
                [(name, each["ping_us"], each["pong_p95_ms"], each["token_us"], each["lag_p95_ms"], each["opening_ms"],
                  each["kib_per_socket"], each["mib_ready"]) for name, each in found.items()],
                "Processor time of the web process; MiB of all of its processes, before the first socket.",
            ),
            Table(
                "An idle socket, µs of a processor a second", ("server", *PARTS),
                [(name, *(each["idle_us"][part] for part in PARTS)) for name, each in found.items()],
                "Sessions looked at, presence told, pings. What cannot be told from nothing may be below it.",
            ),
            Table(
                "SIGTERM",
                ("server", "sockets", "told before", "closed with", "closed after s", "ended after s", "exit code"),
                [(name, end["sockets"], end["told"], _counted(end["closed"]), end["closed_s"], end["ended_s"],
                  end["exit_code"])
                 for name, each in found.items() for end in each["ends"]],
                "All stay until they are closed; 1006: without a close frame.",
            ),
            *([Table(
                "Readers that do not read", ("server", "readers", "closed with", "KiB of one", "whole afterwards"),
                [(name, slow["readers"], _counted(slow["closed"]), slow["kib_per_reader"], slow["whole_afterwards"])
                 for name, each in found.items() for slow in each["slow"]],
                "Each asked for 7 MiB. Memory is that of each but the first, in which is what a first use loads.",
            )] if options.slow else []),
            Table(
                "Rounds",
                ("server", "page ms", "P95 ms", "read ms", "P95 ms ", "ping µs", "token to a tab µs", "KiB a socket"),
                [(f"{name}, {number}", *each_round.values())
                 for name, each in found.items() for number, each_round in enumerate(each["rounds"], 1)],
                f"Processor time and P95 as above; what else the machine did shows here. Order: "
                f"{', '.join(order_of(list(found), options.rounds))}.",
            ),
        ],
        plots=[
            *(Plot(f"Time of a {kind}", "% of requests", "ms",
                   [Series(name, each[kind]["ranks"]) for name, each in found.items()]) for kind in KINDS),
            *(Plot(title, "round", unit,
                   [Series(name, _by_round(each, figure)) for name, each in found.items()])
              for title, unit, figure in (
                  ("Processor time of a page", "ms", "page_ms"), ("Processor time of a read", "ms", "read_ms"),
                  ("Processor time of a token to a tab", "µs", "token_us"),
              )),
        ],
    )  # fmt: skip


def _in_a_line(name: str, each: Mapping[str, Any]) -> str:
    told, sockets = (sum(end[of] for end in each["ends"]) for of in ("told", "sockets"))
    return (
        f"{name}: page {each['page']['cpu_ms']:.1f} ms, read {each['read']['cpu_ms']:.1f} ms, token "
        f"{each['token_us']:.0f} µs, socket {each['kib_per_socket']:.0f} KiB, {told} of {sockets} told of its end"
    )


def _http_row(name: str, kind: str, of: Mapping[str, Any]) -> tuple[str | int | float | None, ...]:
    times = of["ms"]
    shares = (times["p50"], times["p95"], times["p99"])
    return f"{name}, {kind}", of["cpu_ms"], of["per_processor_s"], *shares, _counted(of["statuses"])


def _counted(of: Mapping[str, int]) -> str:
    return ", ".join(f"{number} × {what}" for what, number in of.items())


def _by_round(each: Mapping[str, Any], figure: str) -> list[tuple[float, float]]:
    return [(number, each_round[figure]) for number, each_round in enumerate(each["rounds"], 1)]
