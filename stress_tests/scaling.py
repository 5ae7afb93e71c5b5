"""What so many people need: arithmetic from what the bench measured, and a simulation that shows what breaks first.

    make bench ARGS="--json bench.json"                 # what a turn and a token cost on this machine
    python -m stress_tests.scaling --bench bench.json   # 10,000, 1,000,000 and 100,000,000 people
    python -m stress_tests.scaling --bench bench.json --people 50000 --tokens 200

The arithmetic (``stress_tests/scaling_needs.py``) says how many processors and machines of each kind there must be. The
simulation (``stress_tests/scaling_simulation.py``) plays the questions of the busiest minute through one cell of them,
station by station, first as planned, then with a process of each kind lost, and then with more people until replies
wait or a station is full: the one that is the fullest then is what breaks first. A cell is what shares one PostgreSQL
primary; people are divided among cells by who they are.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .scaling_needs import Costs, Demand, Needs, costs_of, needs_of
from .scaling_simulation import Outcome, breaking_point, simulate

STEPS = (10_000, 1_000_000, 100_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="the JSON that the bench wrote")
    parser.add_argument("--people", type=int, action="append", help="registered people (may be given several times)")
    parser.add_argument("--tokens", type=int, default=Demand.tokens, help=f"in a reply ({Demand.tokens})")
    parser.add_argument("--active", type=float, default=Demand.active, help=f"share of people a day ({Demand.active})")
    parser.add_argument("--turns", type=float, default=Demand.turns, help=f"of each of them a day ({Demand.turns})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same as JSON")
    options = parser.parse_args()
    if not all(number >= 1 for number in [*(options.people or STEPS), options.tokens, options.turns]):
        parser.error("people, tokens and turns are numbers from 1 on")
    if not 0 < options.active <= 1:
        parser.error("--active is a share: above 0, 1 at most")
    try:
        costs = costs_of(json.loads(options.bench.read_text()))
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{options.bench}: {error}")
    demand = Demand(active=options.active, turns=options.turns, tokens=options.tokens)
    found = [step(people, demand, costs, options.seed) for people in options.people or STEPS]
    print(_as_text(found, costs))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    sys.exit(0 if all(each[how]["holds"] for each in found for how in ("planned", "one_lost")) else 1)


def step(people: int, demand: Demand, costs: Costs, seed: int) -> dict[str, Any]:
    """What ``people`` need, how a cell of that fares, and what breaks first in it."""
    needs = needs_of(people, demand, costs)
    planned = simulate(needs, demand, costs, seed=seed)
    one_lost = simulate(needs, demand, costs, lost=1, seed=seed)
    factor, broken = breaking_point(needs, demand, costs, seed=seed)
    return {
        "people": people,
        "needs": needs.as_dict(),
        "planned": planned.as_dict(),
        "one_lost": one_lost.as_dict(),
        "breaks": {"at": factor, "station": broken.fullest, **broken.as_dict()},
    }


def _as_text(found: list[dict[str, Any]], costs: Costs) -> str:
    lines = [*costs.told().splitlines(), ""]
    names = list(found[0]["needs"])
    width = max(map(len, names)) + 2
    lines.append(" " * width + "".join(f"{each['people']:>16,}" for each in found))
    lines += [f"{name:<{width}}" + "".join(f"{_number(each['needs'][name]):>16}" for each in found) for name in names]
    lines += [
        "",
        "Simulated, one cell in its busiest minute; what 95 of 100 wait at most, for the first token and for each:",
    ]
    for each in found:
        planned, lost, broken = each["planned"], each["one_lost"], each["breaks"]
        lines.append(
            f"{each['people']:>12,} people: {_waits(planned)}; a web process and a worker lost: {_waits(lost)}. "
            f"Fullest: {planned['fullest']}, {planned['use']:.0%}. Breaks first, with {_number(broken['at'])} times "
            f"as many: {broken['station']}."
        )
    return "\n".join(lines)


def _waits(outcome: dict[str, Any]) -> str:
    return f"{outcome['wait_p95_ms']} and {outcome['lag_p95_ms']} ms"


def _number(value: float) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


__all__ = ["Needs", "Outcome", "main", "step"]

if __name__ == "__main__":
    main()
