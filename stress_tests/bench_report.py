"""What the runs come to: figures of each, the issue of each target, as a table to read and as JSON."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bench_cpu import cpu_between, shares_between
from .bench_load import Run
from .bench_turns import Outcome, direct_outcome, percentiles_ms, product_outcome

PRODUCT = ("web", "worker", "postgres", "redis")
KIB = 1024
DISTURBED_PERCENT = 15.0


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
    faults = Counter(outcome.fault for outcome in outcomes if outcome.fault)
    tokens = sum(outcome.tokens for outcome in outcomes)
    frames = sum(outcome.text_frames for outcome in outcomes)
    seconds = run.samples[-1].at - run.samples[0].at
    # The sampled parts and the generator are ours; the rest of what the machine did is somebody else's, and disturbs.
    ours = sum(cpu_between(run.samples[0], run.samples[-1]).values()) + run.generator_cpu_s
    others = run.samples[-1].busy_s - run.samples[0].busy_s - ours
    return {
        "users": run.plan.users,
        "turns": len(outcomes),
        "completed": len(good),
        "complete_percent": round(100 * len(good) / len(outcomes), 3) if outcomes else 0.0,
        "faults": dict(faults.most_common(8)),
        "tokens": tokens,
        "tokens_per_frame": round(tokens / frames, 2) if frames else 0.0,
        "seconds": round(seconds, 1),
        "first_token_ms": percentiles_ms(outcome.first_s for outcome in good),
        "lag_ms": percentiles_ms(lag for outcome in good for lag in outcome.lags_s),
        "endings_with_text_of_their_own": sum(1 for outcome in outcomes if outcome.tail),
        "generator_cpu_percent": round(100 * run.generator_cpu_s / seconds, 1),
        "others_cpu_percent": round(max(0.0, 100 * others / seconds), 1),
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


def added(product: dict[str, Any], direct: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The product's percentiles less the direct ones at the same load, in milliseconds."""
    return {
        name: {key: round(product[name][key] - direct[name][key], 2) for key in ("p50", "p95", "p99")}
        for name in ("first_token_ms", "lag_ms")
    }


def cost_of_tokens_and_turns(many: dict[str, Any], few: dict[str, Any]) -> dict[str, Any]:
    """Split processor time into what a turn costs and what each of its tokens does.

    Two runs with the same turns per second and different numbers of tokens: per turn, cost = turn + tokens × token.
    Two equations, two unknowns; for all of the product and for each part.
    """
    tokens_many, tokens_few = many["tokens"] / many["turns"], few["tokens"] / few["turns"]

    def split(name: str) -> dict[str, float]:
        per_turn_many = _spent(many, name) / many["turns"]
        per_turn_few = _spent(few, name) / few["turns"]
        token = (per_turn_many - per_turn_few) / (tokens_many - tokens_few)
        return {
            "us_per_token": round(token * 1e6, 1),
            "ms_per_turn": round((per_turn_many - tokens_many * token) * 1e3, 2),
        }

    return {"product": split("product")} | {name: split(name) for name in PRODUCT}


def _spent(figures: dict[str, Any], name: str) -> float:
    spent = figures["cpu"]["product_seconds"] if name == "product" else figures["cpu"]["seconds"][name]
    return float(spent)


def burst_figures(runs: Iterable[Run], outcome_of: Any = product_outcome) -> dict[str, Any]:
    """Tokens per second from the first question to the last ending, of each round and their median."""
    rates, faults = [], Counter[str]()
    for run in runs:
        outcomes = [outcome_of(turn, run.plan.tokens) for turn in run.turns]
        faults.update(outcome.fault for outcome in outcomes if outcome.fault)
        sent = [turn.sent_at for turn in run.turns if turn.sent_at]
        ended = [turn.ended_at for turn in run.turns if turn.ended_at]
        tokens = sum(outcome.tokens for outcome in outcomes if not outcome.fault)
        rates.append(round(tokens / (max(ended) - min(sent))) if sent and ended else 0)
    return {"tokens_per_s": round(statistics.median(rates)), "rounds": rates, "faults": dict(faults)}


@dataclasses.dataclass(frozen=True)
class Target:
    """One of the figures to reach. ``reached`` is None where it was not measured in this run."""

    name: str
    limit: str
    found: str
    reached: bool | None

    def line(self) -> str:
        mark = {True: "reached", False: "MISSED", None: "not measured"}[self.reached]
        return f"  {mark:<12}  {self.name:<58} {self.limit:>12}   {self.found}"


def targets(result: dict[str, Any]) -> list[Target]:
    """Every target against what was found."""
    found: list[Target] = []
    for phase in result["phases"]:
        size, latency = phase["name"], phase["added"]
        first_limit = _first_token_limit(phase)
        if first_limit:
            found.append(
                _at_most(f"added time to first token P95, {size}", latency["first_token_ms"]["p95"], first_limit, "ms")
            )
        found.append(_at_most(f"added lag per token P50, {size}", latency["lag_ms"]["p50"], 30, "ms"))
        found.append(_at_most(f"added lag per token P95, {size}", latency["lag_ms"]["p95"], 70, "ms"))
        whole = phase["product"]["completed"] == phase["product"]["turns"]
        percent = phase["product"]["complete_percent"]
        found.append(Target(f"turns complete, {size}", "= 100 %", f"{percent} %", whole))
    cost = (result.get("cost") or {}).get("product", {})
    found.append(_at_most("processor time per relayed token, 500 users", cost.get("us_per_token"), 70, "µs"))
    found.append(_at_most("processor time per turn, 500 users", cost.get("ms_per_turn"), 8, "ms"))
    memory = result.get("memory") or {}
    found.append(_at_most("memory per idle socket", memory.get("kib_per_idle_socket"), 60, "KiB"))
    rate = (result.get("burst") or {}).get("product", {}).get("tokens_per_s")
    reached = None if rate is None else rate >= 30_000
    found.append(Target("burst of 50 users × 200 tokens", "≥ 30000 /s", f"{rate} /s", reached))
    return found


def _first_token_limit(phase: dict[str, Any]) -> int | None:
    if phase["think_s"] < 2:
        return None  # they queue, which is what is measured there
    if phase["users"] <= 100:
        return 25
    return 150 if phase["users"] == 1000 else None


def _at_most(name: str, value: float | None, limit: float, unit: str) -> Target:
    reached = None if value is None else value <= limit
    return Target(name, f"≤ {limit:g} {unit}", f"{value} {unit}", reached)


def text(result: dict[str, Any]) -> str:
    """The whole result for a person to read."""
    lines = [_machine_line(result["machine"]), ""]
    head = (
        f"{'':<22}{'complete':>10}  {'first token added':>28}{'lag added':>18}{'direct lag':>14}"
        f"{'µs/token':>10}{'ms/turn':>9}   share of a processor, steady"
    )
    under = (
        f"{'':<22}{'%':>10}  {'P50 / P95 / P99 ms':>28}{'P50 / P95 ms':>18}{'P50 / P95':>14}"
        f"{'all in':>10}{'all in':>9}   web / worker / postgres / redis / model; generator; others"
    )
    lines += [head, under]
    lines += [_phase_line(phase) for phase in result["phases"]]
    lines += ["", *_queue_lines(result), *_cost_lines(result), *_memory_lines(result), *_burst_lines(result)]
    lines += _disturbance_lines(result)
    if result.get("audit"):
        lines.append(f"database afterwards: {result['audit']}")
    lines += ["", "targets", *(target.line() for target in targets(result))]
    return "\n".join(lines)


def _machine_line(machine: dict[str, Any]) -> str:
    pins = ", ".join(f"{name} on processor {number}" for name, number in machine["pins"].items()) or "none"
    return (
        f"{machine['processors']} processors ({machine['processor_name']}), Python {machine['python']}, "
        f"commit {machine['commit']}; {machine.get('web', 1)} web, {machine.get('workers', 1)} reply workers; "
        f"pinned: {pins}; {machine['seconds']} s in all"
    )


def _phase_line(phase: dict[str, Any]) -> str:
    product, extra, direct = phase["product"], phase["added"], phase["direct"]
    first = " / ".join(f"{extra['first_token_ms'][key]:.1f}" for key in ("p50", "p95", "p99"))
    lag = " / ".join(f"{extra['lag_ms'][key]:.1f}" for key in ("p50", "p95"))
    base = " / ".join(f"{direct['lag_ms'][key]:.1f}" for key in ("p50", "p95"))
    shares = product["cpu"]["steady_share_of_a_processor"]
    load = " / ".join(f"{shares.get(name, 0):.2f}" for name in (*PRODUCT, "model"))
    line = (
        f"{phase['name']:<22}{product['complete_percent']:>10}  {first:>28}{lag:>18}{base:>14}"
        f"{product['cpu']['product_us_per_token_all_in']:>10}{product['cpu']['product_ms_per_turn_all_in']:>9}"
        f"   {load}; {product['generator_cpu_percent'] / 100:.2f}; {product['others_cpu_percent'] / 100:.2f}"
    )
    return f"{line}\n    faults: {product['faults']}" if product["faults"] else line


def _queue_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"queue, {phase['name']}: {queued['turns']} turns saw reply.queued, largest position "
        f"{queued['largest_position']}, wait P50 / P95 / max {queued['wait_ms']['p50']} / {queued['wait_ms']['p95']}"
        f" / {queued['wait_ms']['max']} ms"
        for phase in result["phases"]
        if (queued := phase["product"]["queued"])["largest_position"] > 1
    ]


def _disturbance_lines(result: dict[str, Any]) -> list[str]:
    shares = [phase["product"]["others_cpu_percent"] for phase in result["phases"]]
    if max(shares, default=0.0) < DISTURBED_PERCENT:
        return []
    return [
        f"NOT A QUIET MACHINE: other processes used up to {max(shares):.0f} % of a processor meanwhile. "
        "Times are worse than they would be, and processor time is too."
    ]


def _cost_lines(result: dict[str, Any]) -> list[str]:
    if not result.get("cost"):
        return []
    parts = "; ".join(
        f"{name} {cost['us_per_token']} µs and {cost['ms_per_turn']} ms" for name, cost in result["cost"].items()
    )
    return [f"per token and per turn at {result['cost_users']} users: {parts}"]


def _memory_lines(result: dict[str, Any]) -> list[str]:
    memory = result.get("memory")
    if not memory:
        return []
    return [
        f"memory of web: {memory['mib_before']} MiB; {memory['idle_sockets']} idle sockets: {memory['mib_idle']} MiB"
        f" ({memory['kib_per_idle_socket']} KiB each); {memory['streaming_sockets']} of them streaming: at most "
        f"{memory['mib_streaming']} MiB ({memory['kib_per_streaming_socket']} KiB per streaming socket)"
    ]


def _burst_lines(result: dict[str, Any]) -> list[str]:
    burst = result.get("burst")
    if not burst:
        return []
    line = f"burst tokens/s: {burst['product']['rounds']}, directly {burst['direct']['rounds']}"
    return [f"{line}; faults {burst['product']['faults']}" if burst["product"]["faults"] else line]
