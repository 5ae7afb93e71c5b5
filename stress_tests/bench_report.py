"""What the runs come to: figures of each, and a report of them with what was wanted."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .bench_cpu import cpu_between, shares_between
from .bench_load import Run
from .bench_turns import Outcome, direct_outcome, less, percentiles_ms, product_outcome
from .reporting import Check, Plot, Report, Series, Table, at_most, ms
from .reporting.report import Cell

PRODUCT = ("web", "worker", "postgres", "redis")
KIB = 1024
COST_USERS = 500
LEAST_BURST = 30_000
#: How checks begin that a phase's turns are whole: the exit code is theirs.
TURNS = "turns complete"
LATENCIES = {"first_token_ms": "first token", "lag_ms": "lag of a token"}
SHARES = ("p50", "p95", "p99")


def product_figures(run: Run) -> dict[str, Any]:
    """A phase through the product: complete or not, latencies (ms), processor time by part."""
    outcomes = [product_outcome(turn, run.plan.tokens) for turn in run.turns]
    waits = [outcome.wait_s for outcome in outcomes if outcome.wait_s]
    positions = [turn.position for turn in run.turns]
    queued = sum(1 for position in positions if position)
    accepted = [turn.accepted_at - turn.sent_at for turn in run.turns if turn.accepted_at]
    return _figures(run, outcomes) | {
        "accepted_ms": percentiles_ms(accepted),
        "queued": {"turns": queued, "largest_position": max(positions, default=0), "wait_ms": percentiles_ms(waits)},
        "cpu": _cpu_figures(run, outcomes),
    }


def direct_figures(run: Run) -> dict[str, Any]:
    """The same phase straight to the model server."""
    return _figures(run, [direct_outcome(turn, run.plan.tokens) for turn in run.turns])


def _figures(run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    good = [outcome for outcome in outcomes if not outcome.fault]
    tokens = sum(outcome.tokens for outcome in outcomes)
    frames = sum(outcome.text_frames for outcome in outcomes)
    seconds = run.samples[-1].at - run.samples[0].at
    # The sampled parts and the generator are ours; the rest of what the machine did is somebody else's, and disturbs.
    ours = sum(cpu_between(run.samples[0], run.samples[-1]).values()) + run.generator_cpu_s
    others = run.samples[-1].busy_s - run.samples[0].busy_s - ours
    return {
        "users": run.plan.users,
        **completeness(outcomes),
        "tokens": tokens,
        "tokens_per_frame": round(tokens / frames, 2) if frames else 0.0,
        "seconds": round(seconds, 1),
        "first_token_ms": percentiles_ms(outcome.first_s for outcome in good),
        "lag_ms": percentiles_ms(lag for outcome in good for lag in outcome.lags_s),
        "endings_with_text_of_their_own": sum(1 for outcome in outcomes if outcome.tail),
        "generator_cpu_percent": round(100 * run.generator_cpu_s / seconds, 1),
        "others_cpu_percent": round(max(0.0, 100 * others / seconds), 1),
    }


def completeness(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How many turns there were, how many of them whole, and what was wrong with the others."""
    faults = Counter(outcome.fault for outcome in outcomes if outcome.fault)
    completed = len(outcomes) - faults.total()
    return {
        "turns": len(outcomes),
        "completed": completed,
        "complete_percent": round(100 * completed / len(outcomes), 3) if outcomes else 0.0,
        "faults": dict(faults.most_common(8)),
    }


def _cpu_figures(run: Run, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    each = cpu_between(run.samples[0], run.samples[-1])
    spent = by_part(each)
    total = sum(spent[name] for name in PRODUCT)
    tokens = sum(outcome.tokens for outcome in outcomes)
    return {
        "seconds": spent,
        "seconds_by_process": each,
        "product_seconds": round(total, 3),
        "product_us_per_token_all_in": round(total / tokens * 1e6, 1) if tokens else 0.0,
        "product_ms_per_turn_all_in": round(total / len(outcomes) * 1e3, 2) if outcomes else 0.0,
        "steady_share_of_a_processor": by_part(shares_between(run.samples, run.steady_from, run.steady_to)),
    }


def by_part(spent: Mapping[str, float]) -> dict[str, float]:
    """Processes of one kind together: web and web2 are the web."""
    found: dict[str, float] = {}
    for name, seconds in spent.items():
        part = name.rstrip("0123456789")
        found[part] = round(found.get(part, 0.0) + seconds, 3)
    return found


def added(product: dict[str, Any], direct: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """The product's percentiles less those of the direct run before it at the same load, in milliseconds; None where
    either had no good turn."""
    return {name: less(product[name], direct[name]) for name in LATENCIES}


class CostRound(NamedTuple):
    """Figures of two runs with the same turns per second and different numbers of tokens."""

    few: Mapping[str, Any]
    many: Mapping[str, Any]


def cost_of_rounds(rounds: Sequence[CostRound]) -> dict[str, Any]:
    """As ``cost_of_tokens_and_turns`` of all rounds together; and what a token came to in each. Raises as that."""
    if any(run["completed"] < run["turns"] for one in rounds for run in one):
        raise ValueError("replies broke off: what a token costs cannot be told")
    each = [cost_of_tokens_and_turns(one.many, one.few)["product"]["us_per_token"] for one in rounds]
    few, many = (_together(runs) for runs in zip(*rounds, strict=True))
    return cost_of_tokens_and_turns(many, few) | {"us_per_token_of_rounds": each}


def _together(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parts = {name: sum(run["cpu"]["seconds"][name] for run in runs) for name in PRODUCT}
    return {
        **{name: sum(run[name] for run in runs) for name in ("turns", "completed", "tokens")},
        "cpu": {"seconds": parts, "product_seconds": sum(parts.values())},
    }


def cost_of_tokens_and_turns(many: Mapping[str, Any], few: Mapping[str, Any]) -> dict[str, Any]:
    """Split processor time into what a turn costs and what each of its tokens does.

    Two runs with the same turns per second and different numbers of tokens: per turn, cost = turn + tokens × token.
    Two equations, two unknowns; for all of the product and for each part. Raises ValueError where replies had no more
    tokens in the one run than in the other: they broke off.
    """
    tokens_many, tokens_few = many["tokens"] / many["turns"], few["tokens"] / few["turns"]
    if tokens_many <= tokens_few:
        raise ValueError("replies broke off: what a token costs cannot be told")

    def split(name: str) -> dict[str, float]:
        per_turn_many = _spent(many, name) / many["turns"]
        per_turn_few = _spent(few, name) / few["turns"]
        token = (per_turn_many - per_turn_few) / (tokens_many - tokens_few)
        return {
            "us_per_token": round(token * 1e6, 1),
            "ms_per_turn": round((per_turn_many - tokens_many * token) * 1e3, 2),
        }

    return {"product": split("product")} | {name: split(name) for name in PRODUCT}


def _spent(figures: Mapping[str, Any], name: str) -> float:
    spent = figures["cpu"]["product_seconds"] if name == "product" else figures["cpu"]["seconds"][name]
    return float(spent)


def burst_figures(runs: Iterable[Run], outcome_of: Any = product_outcome) -> dict[str, Any]:
    """Tokens per second from the first question to the last ending, of each round and their median."""
    rates: list[int] = []
    every: list[Outcome] = []
    for run in runs:
        outcomes = [outcome_of(turn, run.plan.tokens) for turn in run.turns]
        every += outcomes
        sent = [turn.sent_at for turn in run.turns if turn.sent_at]
        ended = [turn.ended_at for turn in run.turns if turn.ended_at]
        tokens = sum(outcome.tokens for outcome in outcomes if not outcome.fault)
        rates.append(round(tokens / (max(ended) - min(sent))) if sent and ended else 0)
    return {"tokens_per_s": round(statistics.median(rates)), "rounds": rates, **completeness(every)}


def checks(result: Mapping[str, Any]) -> list[Check]:
    """What was wanted against what was found; unclear what this run did not measure."""
    burst = result["burst"]["product"]["tokens_per_s"]
    return [
        *(check for phase in result["phases"] for check in _latency_checks(phase)),
        *(_turns_check(name, figures) for name, figures, _ in _phases(result)),
        *_cost_checks(result),
        at_most("memory per idle socket", result["memory"]["kib_per_idle_socket"], 60, "KiB"),
        Check("burst of 50 users × 200 tokens", f"≥ {LEAST_BURST:,} /s", f"{burst:,} /s", burst >= LEAST_BURST),
    ]


def _latency_checks(phase: Mapping[str, Any]) -> list[Check]:
    size, latency, limit = phase["name"], phase["added"], _first_token_limit(phase)
    first = latency["first_token_ms"]["p95"]
    return [
        *([at_most(f"added time to first token P95, {size}", first, limit, "ms")] if limit else []),
        at_most(f"added lag per token P50, {size}", latency["lag_ms"]["p50"], 30, "ms"),
        at_most(f"added lag per token P95, {size}", latency["lag_ms"]["p95"], 70, "ms"),
    ]


def _turns_check(name: str, figures: Mapping[str, Any]) -> Check:
    completed, turns = figures["completed"], figures["turns"]
    return Check(f"{TURNS}, {name}", "all", f"{completed:,} of {turns:,}", 0 < turns == completed)


def _first_token_limit(phase: Mapping[str, Any]) -> int | None:
    if phase["think_s"] < 2:
        return None  # they queue, which is what is measured there
    if phase["users"] <= 100:
        return 25
    return 150 if phase["users"] == 1000 else None


def _cost_checks(result: Mapping[str, Any]) -> Iterator[Check]:
    cost = (result.get("cost") or {}).get("product")
    users = result.get("cost_users", COST_USERS)
    for name, key, limit, unit in (
        ("processor time per relayed token", "us_per_token", 70, "µs"),
        ("processor time per turn, without its tokens", "ms_per_turn", 8, "ms"),
    ):
        if (
            cost and min(cost["us_per_token"], cost["ms_per_turn"]) <= 0
        ):  # the two runs differ by more than either costs
            yield Check(f"{name}, {users} users", f"≤ {limit} {unit}", f"{cost[key]} {unit}, which cannot be", None)
        elif cost:
            yield at_most(f"{name}, {users} users", cost[key], limit, unit)
        else:
            yield Check(f"{name}, {users} users", f"≤ {limit} {unit}", "not measured", None)


def _phases(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """Every phase by name: figures through the product, and those of the direct run."""
    for phase in result["phases"]:
        yield phase["name"], phase["product"], phase["direct"]
    for number, each in enumerate(result.get("cost_rounds", ()), 1):
        yield f"few tokens, {number}", each.few, None
        yield f"many tokens, {number}", each.many, None
    yield "burst", result["burst"]["product"], result["burst"]["direct"]
    yield "memory", result["memory"], None


def headline(result: Mapping[str, Any]) -> str:
    """Its largest phase of people who think."""
    phase = max(_of_people_who_think(result), key=lambda phase: phase["users"])
    product, added = phase["product"], phase["added"]
    return (
        f"{phase['users']:,} people: {product['complete_percent']:g} % of turns complete, first token within "
        f"{ms(product['first_token_ms']['p95'])} (P95), {ms(added['first_token_ms']['p95'])} more than directly, each "
        f"token {ms(added['lag_ms']['p95'])} later"
    )


def _of_people_who_think(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Phases of them; the first where all are hasty."""
    phases = result["phases"]
    return [phase for phase in phases if phase["think_s"] >= 2] or phases[:1]


def report_of(result: Mapping[str, Any], parameters: Mapping[str, Any]) -> Report:
    machine = result["machine"]
    pins = ", ".join(f"{name} on processor {number}" for name, number in machine["pins"].items()) or "none"
    return Report(
        name="bench",
        title="Bench",
        headline=f"{headline(result)}.",
        machine=machine,
        parameters=parameters,
        checks=checks(result),
        tables=[
            _latency_table(result["phases"]),
            Table("Turns", TURN_HEAD, [_turn_row(*each) for each in _phases(result)]),
            Table(
                "Processor time, all in", ("phase", "µs a token", "ms a turn", *USERS_OF_PROCESSORS),
                [_processor_row(phase) for phase in result["phases"]],
                "A turn with its tokens. Shares of one processor while turns came at the same rate; others over the "
                f"whole phase. Pinned: {pins}. {machine['seconds']} s in all.",
            ),
            *_cost_tables(result),
            Table(
                "Memory of the web process", ("what", "value"),
                [(name.replace("_", " "), value) for name, value in result["memory"].items()
                 if name.startswith(("mib", "kib")) or name.endswith("sockets")],
            ),
            Table("Burst, tokens a second", ("way", "median", "rounds"), [
                (way, of["tokens_per_s"], ", ".join(f"{rate:,}" for rate in of["rounds"]))
                for way, of in result["burst"].items()
            ]),
            Table("In the database afterwards", ("replies", "number"), [
                *result["audit"]["replies"].items(),
                ("of these, text unlike the model's", result["audit"]["wrong_text"]),
            ]),
        ],
        plots=[
            Plot(f"{what.capitalize()}, P95", "people, who think", "ms", [
                Series(way, [(phase["users"], phase[key][name]["p95"]) for phase in _of_people_who_think(result)])
                for way, key in (("through the product", "product"), ("directly", "direct"), ("added", "added"))
            ])
            for name, what in LATENCIES.items()
        ],
    )  # fmt: skip


def baseline_report(
    phases: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], machine: Mapping[str, Any]
) -> Report:
    """Of the model server and the generator alone."""
    return Report(
        name="bench_baseline",
        title="Bench, the model server alone",
        headline="; ".join(f"{phase['name']}: lag {ms(phase['lag_ms']['p95'])} (P95)" for phase in phases) + ".",
        machine=machine,
        parameters=parameters,
        checks=[_turns_check(phase["name"], phase) for phase in phases],
        tables=[
            Table("Latency", ("phase", "P50 ms", "P95 ms", "P99 ms"), [
                (f"{phase['name']}, {what}", *(phase[name][share] for share in SHARES))
                for phase in phases for name, what in LATENCIES.items()
            ])
        ],
    )  # fmt: skip


def _latency_table(phases: Sequence[Mapping[str, Any]]) -> Table:
    """Absolute beside added, as a difference of two percentiles says little of either."""
    head = [f"P{share[1:]} {way}" for share in SHARES for way in ("ms", "directly", "added")]
    rows = [
        (f"{phase['name']}, {what}",
         *(phase[way][name][share] for share in SHARES for way in ("product", "direct", "added")))
        for phase in phases for name, what in LATENCIES.items()
    ]  # fmt: skip
    note = "Percentiles through the product, of one direct run made before it, and the difference of the two."
    return Table("Latency", ("phase", *head), rows, note)


TURN_HEAD = (
    "phase", "turns", "complete %", "directly complete %", "queued", "largest place", "wait P50 ms", "P95 ms",
    "max ms", "faults",
)  # fmt: skip


def _turn_row(name: str, figures: Mapping[str, Any], direct: Mapping[str, Any] | None) -> Sequence[Cell]:
    queued = figures.get("queued") or {}
    wait = queued.get("wait_ms") or {}
    return (
        name, figures["turns"], _percent(figures), _percent(direct) if direct else None,
        queued.get("turns"), queued.get("largest_position"), wait.get("p50"), wait.get("p95"), wait.get("max"),
        ", ".join(f"{number} × {fault}" for fault, number in figures["faults"].items()) or "none",
    )  # fmt: skip


def _percent(figures: Mapping[str, Any]) -> str:
    """Not rounded: 99.97 % is not all."""
    return f"{figures['complete_percent']:g}"


USERS_OF_PROCESSORS = (*PRODUCT, "model", "generator", "others")


def _processor_row(phase: Mapping[str, Any]) -> Sequence[Cell]:
    figures = phase["product"]
    cpu = figures["cpu"]
    steady = cpu["steady_share_of_a_processor"] | {
        "generator": figures["generator_cpu_percent"] / 100,
        "others": figures["others_cpu_percent"] / 100,
    }
    each = [steady.get(name) for name in USERS_OF_PROCESSORS]
    return phase["name"], cpu["product_us_per_token_all_in"], cpu["product_ms_per_turn_all_in"], *each


def _cost_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    if cost := result.get("cost"):
        yield Table(
            f"What a token and a turn cost at {result['cost_users']} users", ("part", "µs a token", "ms a turn"),
            [(name, cost[name]["us_per_token"], cost[name]["ms_per_turn"]) for name in ("product", *PRODUCT)],
            "By runs of few and of many tokens: a turn without its tokens. A token of the product, round by round: "
            f"{', '.join(f'{each:g}' for each in cost['us_per_token_of_rounds'])} µs.",
        )  # fmt: skip
