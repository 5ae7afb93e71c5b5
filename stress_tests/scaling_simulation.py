"""Plays the questions of a busy minute through one cell: each station is a queue before so many servers.

A question passes web, PostgreSQL and worker, waits for the model, and then a tick of its reply passes worker, Redis and
web every 50 ms until all tokens are there. Questions come at random (Poisson), work takes exponentially distributed
time around what was measured: both are harder on queues than what is seen in practice. Replies that are under way when
the minute begins are there from the start, spread evenly.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .scaling_needs import STATIONS, Costs, Demand, Needs

TICK_S = 0.05
#: So many questions are played, in as much time as they take to come.
TURNS = 600
#: Replies wait, it is broken: 95 % of first tokens come later by less than this (seconds) while it holds.
BEARABLE_S = 0.5
STEP = 1.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """``use``: the share of time that the servers of each station were busy."""

    wait_p95_s: float
    lag_p95_s: float
    use: dict[str, float]

    @property
    def fullest(self) -> str:
        return max(self.use, key=lambda name: self.use[name])

    @property
    def holds(self) -> bool:
        return self.wait_p95_s < BEARABLE_S and self.lag_p95_s < BEARABLE_S

    def as_dict(self) -> dict[str, Any]:
        return {
            "wait_p95_ms": round(self.wait_p95_s * 1e3, 1),
            "lag_p95_ms": round(self.lag_p95_s * 1e3, 1),
            "fullest": self.fullest,
            "use": self.use[self.fullest],
            "uses": {name: round(value, 3) for name, value in self.use.items()},
            "holds": self.holds,
        }


@dataclass
class _Station:
    servers: int
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    busy: int = 0
    busy_s: float = 0.0


class _Cell:
    """Time, what happens next, and the stations."""

    def __init__(self, servers: dict[str, int], until: float, seed: int) -> None:
        self.stations = {name: _Station(number) for name, number in servers.items()}
        self.now, self.until = 0.0, until
        self.chance = random.Random(seed)
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, time: float, then: Callable[[], None]) -> None:
        if time <= self.until:
            heapq.heappush(self._coming, (time, next(self._order), then))

    def work(self, name: str, mean_s: float, then: Callable[[], None]) -> None:
        """Have a server of that station work, as soon as one is free."""
        station = self.stations[name]
        takes = self.chance.expovariate(1 / mean_s) if mean_s > 0 else 0.0
        if station.busy < station.servers:
            self._begin(station, takes, then)
        else:
            station.waiting.append((takes, then))

    def _begin(self, station: _Station, takes: float, then: Callable[[], None]) -> None:
        station.busy += 1
        station.busy_s += min(takes, max(0.0, self.until - self.now))

        def done() -> None:
            station.busy -= 1
            if station.waiting:
                self._begin(station, *station.waiting.popleft())
            then()

        self.at(self.now + takes, done)

    def run(self) -> None:
        while self._coming:
            self.now, _order, then = heapq.heappop(self._coming)
            then()


def simulate(needs: Needs, demand: Demand, costs: Costs, *, load: float = 1.0, seed: int = 0) -> Outcome:
    """One cell of ``needs`` under ``load`` times the questions that it is planned for."""
    rate = needs.turns_of_cell * load
    until = TURNS / rate
    cell = _Cell({name: needs.of_cell(name) for name in STATIONS}, until, seed)
    waits: list[float] = []
    lags: list[float] = []
    tokens_a_tick = TICK_S / demand.token_s

    def stream(left: float) -> None:
        """The ticks of a reply that has ``left`` tokens to come, each passing worker, Redis and web."""
        if left <= 0:
            return
        tokens, began = min(left, tokens_a_tick), cell.now

        def shown() -> None:
            lags.append(cell.now - began)

        def relayed() -> None:
            cell.work("web", tokens * costs.token_s["web"], shown)

        def logged() -> None:
            cell.work("redis", tokens * costs.token_s["redis"], relayed)

        cell.work("worker", tokens * costs.token_s["worker"], logged)
        cell.at(cell.now + TICK_S, lambda: stream(left - tokens))

    def ask() -> None:
        began = cell.now

        def ready() -> None:
            waits.append(cell.now - began)
            cell.at(cell.now + demand.first_s, lambda: stream(demand.tokens))

        def claimed() -> None:
            cell.work("redis", costs.turn_s["redis"], ready)

        def stored() -> None:
            cell.work("worker", costs.turn_s["worker"], claimed)

        def accepted() -> None:
            cell.work("postgres", costs.turn_s["postgres"], stored)

        cell.work("web", costs.turn_s["web"], accepted)

    for time in _poisson(rate, until, cell.chance):
        cell.at(time, ask)
    for _reply in range(int(rate * demand.tokens * demand.token_s)):
        left = cell.chance.uniform(0, demand.tokens)
        cell.at(cell.chance.uniform(0, TICK_S), lambda left=left: stream(left))  # type: ignore[misc]
    cell.run()
    use = {name: station.busy_s / station.servers / until for name, station in cell.stations.items()}
    return Outcome(_p95(waits), _p95(lags), use)


def breaking_point(needs: Needs, demand: Demand, costs: Costs, *, seed: int = 0) -> tuple[float, Outcome]:
    """By how much the questions must grow until replies wait, and how the cell fares then."""
    load = STEP
    while (outcome := simulate(needs, demand, costs, load=load, seed=seed)).holds and max(outcome.use.values()) < 0.99:
        load *= STEP
    return round(load, 2), outcome


def _poisson(rate: float, until: float, chance: random.Random) -> Iterator[float]:
    time = chance.expovariate(rate)
    while time < until:
        yield time
        time += chance.expovariate(rate)


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)] if values else 0.0
