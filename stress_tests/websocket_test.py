"""Many sockets at once: opening, pings, followers, reconnect storms, readers that do not read, frames that are none.

``python -m stress_tests.websocket_test [--sockets 1000] [--storms 3] [--web 1]``. What is judged and how stands in
docs/stress.md. Everything runs on this machine, in a temporary directory, on loopback.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import uvloop

from . import websocket_phases as phases
from .bench_load import Plan
from .bench_stack import Stack
from .bench_turns import percentile
from .reporting import (
    Check,
    Plot,
    Report,
    Series,
    Table,
    at_most,
    between,
    command_parser,
    describe_machine,
    exactly,
    parameters_of,
    run_command,
    say,
)
from .reporting.command import Found, Options
from .websocket_visitor import Visitor

MOST_KIB, MOST_KIB_SLOW, MOST_PONG_MS, MOST_STORM_S, MOST_GROWTH = 60.0, 2048.0, 250.0, 30.0, 0.10
TOO_SLOW = "4408"
MIB = 2**20
LEFT_SECONDS = 30.0


async def strain(stack: Stack, plan: Plan, options: Options) -> dict[str, Any]:
    """All phases, on sockets that stay open from the first to the last but for storms."""
    web = phases.Web(stack)
    await phases.follow(stack, plan, 2)  # what a first use loads
    await asyncio.sleep(options.settle)
    found: dict[str, Any] = {"memory": {"before": web.rss()}, "still_open": {}}
    visitors = [Visitor() for _ in range(options.sockets)]

    def end(phase: str) -> None:
        found["memory"][phase] = web.rss()
        found["still_open"][phase] = sum(visitor.is_open for visitor in visitors)
        stack.check()

    say(f"opening {options.sockets} sockets")
    found["open"] = await phases.open_all(stack, visitors, options.settle)
    end("open")
    say("pings")
    found["ping"] = await phases.ping_all(stack, visitors, seconds=options.seconds, every_s=options.ping_every)
    end("pings")
    say(f"{options.followers} tabs follow a reply")
    found["follow"] = await phases.follow(stack, plan, options.followers)
    end("follow")
    found["storms"] = []
    for number in range(1, options.storms + 1):
        say(f"storm {number}")
        found["storms"].append(await phases.storm(stack, visitors))
        end(f"storm {number}")
    say(f"{options.slow} readers that do not read")
    cookies = stack.cookies[options.sockets :]
    found["slow"] = await phases.slow_readers(stack, visitors, cookies, plan.persona, seconds=options.seconds)
    end("slow readers")
    say("frames that are none")
    found["broken"] = await phases.break_frames(stack, visitors, stack.cookies[0], options.rounds)
    end("frames that are none")
    for visitor in visitors:
        visitor.close()
    found["left_behind"] = await _left_behind(web)
    found["memory"]["closed"] = web.rss()
    stack.check()
    return found


async def _left_behind(web: phases.Web) -> int:
    """How many connections the web processes still hold when all are closed, after so long as that may take."""
    deadline = time.monotonic() + LEFT_SECONDS
    while (left := web.connections()) and time.monotonic() < deadline:  # noqa: ASYNC110  read from /proc
        await asyncio.sleep(0.2)
    return left


def judged(found: Mapping[str, Any]) -> list[Check]:
    """What is wanted of sockets against what was found."""
    opened, ping, followed, slow, broken = (found[name] for name in ("open", "ping", "follow", "slow", "broken"))
    storms = found["storms"]
    checks = [
        exactly("sockets opened", opened["opened"], opened["sockets"]),
        at_most("memory of an idle socket", opened["kib_per_socket"], MOST_KIB, "KiB"),
        _stay_open(found["still_open"], opened["sockets"]),
        exactly("pings answered", ping["answered"], ping["due"]),
        at_most("pong, P95", ping["pong_ms"]["p95"], MOST_PONG_MS, "ms"),
        exactly("tabs that hold the whole reply", followed["whole"], followed["tabs"]),
    ]
    for number, storm in enumerate(storms, 1):
        checks.append(exactly(f"sockets back after storm {number}", storm["back"], storm["sockets"]))
    if storms:
        checks.append(at_most("the last one is back", _last_back_s(storms), MOST_STORM_S, "s"))
    if len(storms) > 1:
        grown = storms[-1]["rss"] / storms[0]["rss"] - 1
        checks.append(at_most("memory after the last storm, more than after the first", grown, MOST_GROWTH))
    return [
        *checks,
        exactly("readers that do not read, closed with 4408", slow["closed"].get(TOO_SLOW, 0), slow["readers"]),
        exactly("of these, found everything afterwards", slow["whole_afterwards"], slow["readers"]),
        _memory_of_slow(slow["kib_per_reader"]),
        exactly("others' pings answered meanwhile", slow["others"]["answered"], slow["others"]["due"]),
        _as_expected(broken["answers"]),
        exactly("others' pings answered after frames that are none", broken["others"]["answered"],
                broken["others"]["due"]),
        exactly("connections left behind", found["left_behind"], 0),
    ]  # fmt: skip


def _memory_of_slow(kib: float | None) -> Check:
    """Unclear of one reader alone."""
    check = at_most("memory of one of them", kib, MOST_KIB_SLOW, "KiB")
    return replace(check, passed=None) if kib is None else check


def _stay_open(still_open: Mapping[str, int], sockets: int) -> Check:
    fewer = {phase: number for phase, number in still_open.items() if number != sockets}
    told = "; ".join(f"{phase}: {number:,}" for phase, number in fewer.items())
    return Check("sockets open at the end of each phase", f"{sockets:,}", told or f"{sockets:,}", not fewer)


def _last_back_s(storms: Sequence[Mapping[str, Any]]) -> float | None:
    """Of those who came back after a storm the slowest; None where after one nobody did."""
    slowest = [storm["back_ms"]["max"] for storm in storms]
    return None if None in slowest else max(slowest) / 1000


def _as_expected(answers: Mapping[str, Mapping[str, int]]) -> Check:
    wrong = {name: dict(said) for name, said in answers.items() if not set(said) <= phases.BROKEN[name][1]}
    told = "; ".join(f"{name}: {said}" for name, said in wrong.items())
    return Check("frames that are none: refused as they should", "all", told or "all", not wrong)


def report_of(found: Mapping[str, Any], options: Options, machine: Mapping[str, Any]) -> Report:
    opened, storms, slow = found["open"], found["storms"], found["slow"]
    last_back = _last_back_s(storms) if storms else 0.0
    all_back = last_back is not None and all(storm["back"] == storm["sockets"] for storm in storms)
    return Report(
        name="websocket_test",
        title="WebSockets",
        headline=f"{opened['opened']:,} sockets at {opened['kib_per_socket']:.1f} KiB each; after {len(storms)} "
        f"reconnect storms {f'all are back within {last_back:.1f} s' if all_back else 'not all are back'}.",
        machine=machine,
        parameters=parameters_of(options),
        checks=judged(found),
        tables=[
            Table("Times", ("what", "number", "P50 ms", "P95 ms", "P99 ms", "max ms"), [
                _times("open until ready", opened["opened"], opened["ready_ms"]),
                _times("pong", found["ping"]["answered"], found["ping"]["pong_ms"]),
                _times("lag of a token, followers", found["follow"]["tabs"], found["follow"]["lag_ms"]),
                *(_times(f"back after storm {n}", s["back"], s["back_ms"]) for n, s in enumerate(storms, 1)),
                _times("pong beside slow readers", slow["others"]["answered"], slow["others"]["pong_ms"]),
            ], PONG_NOTE),
            Table("Processor time of the web processes", ("what", "value"), [
                ("opening a socket, ms", opened["cpu_ms_per_socket"]),
                ("coming back, ms", storms[-1]["cpu_ms_per_socket"] if storms else None),
                ("a ping, µs", found["ping"]["cpu_us_per_ping"]),
                ("a token to a tab, µs", found["follow"]["cpu_us_per_token_and_tab"]),
            ]),
            Table("Memory of the web processes", ("when", "MiB"), [
                (name, size / MIB) for name, size in found["memory"].items()
            ]),
            Table("Refused in storms, and tried again", ("storm", "refusals"), [
                (str(number), ", ".join(f"{n} × {what}" for what, n in storm["refused"].items()) or "none")
                for number, storm in enumerate(storms, 1)
            ]),
            Table("Readers that do not read", ("closed with", "number"), [*slow["closed"].items()]),
            Table("Frames that are none", ("frame", "what came of it"), [
                (name, ", ".join(f"{number} × {said}" for said, number in answers.items()))
                for name, answers in found["broken"]["answers"].items()
            ]),
        ],
        plots=[
            Plot("Until a socket is ready", "% of sockets", "ms", [
                Series("opening", _ranks(opened["times_s"])),
                *(Series(f"storm {number}", _ranks(storm["times_s"])) for number, storm in enumerate(storms, 1)),
            ]),
            Plot("Memory of the web processes", "phase", "MiB", [
                Series("MiB", [(number, size / MIB) for number, size in enumerate(found["memory"].values())])
            ]),
        ],
    )  # fmt: skip


PONG_NOTE = "Pongs: from the moment at which a ping was due; one that did not come is as late as the phase's end."


def _times(name: str, number: int, of: Mapping[str, float | None]) -> tuple[str | int | float | None, ...]:
    return name, number, of["p50"], of["p95"], of["p99"], of["max"]


def _ranks(times_s: Sequence[float]) -> list[tuple[float, float]]:
    """Percentiles of ordered times, in milliseconds."""
    return [(share, 1000 * percentile(times_s, share / 100)) for share in range(1, 101)] if times_s else []


def run(options: Options) -> Found:
    """Raises StackError."""
    plan = Plan(name="follow", users=1, tokens=options.tokens, first_ms=200, token_ms=10)
    machine = describe_machine()
    personas = {plan.persona: f"bench/{plan.model}"}
    people = options.sockets + options.slow
    with (
        Stack(users=people, personas=personas, web=options.web) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        found = runner.run(strain(stack, plan, options))
    return report_of(found, options, machine), found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = command_parser("websocket_test", __doc__)
    parser.add_argument("--sockets", type=between(1, 10_000), default=1000)
    parser.add_argument("--web", type=between(1, 16), default=1, help="web processes")
    parser.add_argument("--seconds", type=between(0.5, 600, float), default=10, help="of each phase of pings")
    parser.add_argument("--ping-every", type=between(0.2, 600, float), default=5, metavar="SECONDS")
    parser.add_argument("--followers", type=between(1, 48), default=40, help="tabs of one person, which may have 50")
    parser.add_argument("--tokens", type=between(1, 2000), default=100, help="of the reply that they follow")
    parser.add_argument("--storms", type=between(0, 20), default=3)
    parser.add_argument("--slow", type=between(1, 100), default=10, help="readers that do not read")
    parser.add_argument("--rounds", type=between(1, 100), default=3, help="of each kind of frame that is none")
    parser.add_argument("--settle", type=between(0, 60, float), default=3, metavar="SECONDS")
    return run_command(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
