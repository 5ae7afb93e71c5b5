"""Plays the questions of a busy minute through one cell: each station is a queue before so many servers.

A question passes web and PostgreSQL, waits for one of the workers' slots, passes worker and Redis, waits for the model,
and then a tick of its reply passes worker, Redis and web every 50 ms until all tokens are there and the slot is free
again. Meanwhile each web process looks at the sessions of its sockets and tells who is there. Questions come at random
(Poisson), work takes exponentially distributed time around what was measured: both are harder on queues than what is
seen in practice. Replies that are under way when the minute begins are there from the start, spread evenly. What has
begun within the minute counts however late it is done.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .scaling_needs import REPLY_SLOTS, STATIONS, Costs, Demand, Needs, most_sockets

TICK_S = 0.05
#: A web process looks at the sessions of its sockets that often (conversations/connections.py).
LOOK_S = 2.5
#: So many questions are played, in as much time as they take to come, but for two replies' length at least.
TURNS = 600
#: Replies wait, it is broken: 95 % of first tokens come later by less than this (seconds) while it holds.
BEARABLE_S = 0.5
FULL = 0.99
STEP, REFINED = 1.2, 3

Then = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``use``: the share of time that the servers of each station were busy; of ``slots`` that they were taken, of
    ``sockets`` the memory for them."""

    wait_p95_s: float
    lag_p95_s: float
    use: dict[str, float]

    @property
    def fullest(self) -> str:
        return max(self.use, key=lambda name: self.use[name])

    @property
    def holds(self) -> bool:
        """Nobody waits for long, and no station is full: where one is, its queue grows without end."""
        return self.wait_p95_s < BEARABLE_S and self.lag_p95_s < BEARABLE_S and self.use[self.fullest] < FULL

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
    """``busy_s``: seconds of all its servers together until ``counted_at``."""

    servers: int
    waiting: deque[Then] = field(default_factory=deque)
    busy: int = 0
    busy_s: float = 0.0
    counted_at: float = 0.0

    def count(self, now: float) -> None:
        self.busy_s += self.busy * (now - self.counted_at)
        self.counted_at = now


class _Cell:
    """Time, what happens next, and the stations. ``unfinished``: what began before ``until`` and is not done."""

    def __init__(self, servers: dict[str, int], until: float, seed: int) -> None:
        self.stations = {name: _Station(number) for name, number in servers.items()}
        self.now, self.until = 0.0, until
        self.chance = random.Random(seed)
        self.unfinished = 0
        self._coming: list[tuple[float, int, Then]] = []
        self._order = count()

    def at(self, time: float, then: Then) -> None:
        heapq.heappush(self._coming, (time, next(self._order), then))

    def take(self, name: str, then: Then) -> None:
        """Take a server of that station, as soon as one is free."""
        station = self.stations[name]
        if station.busy < station.servers:
            station.count(min(self.now, self.until))
            station.busy += 1
            then()
        else:
            station.waiting.append(then)

    def free(self, name: str) -> None:
        """Give one back: whoever has waited the longest takes it."""
        station = self.stations[name]
        if station.waiting:
            station.waiting.popleft()()
        else:
            station.count(min(self.now, self.until))
            station.busy -= 1

    def work(self, name: str, mean_s: float, then: Then) -> None:
        """Have a server of that station work."""
        takes = self.chance.expovariate(1 / mean_s) if mean_s > 0 else 0.0

        def done() -> None:
            self.free(name)
            then()

        self.take(name, lambda: self.at(self.now + takes, done))

    def noting(self, into: list[float]) -> Then:
        """Something begins; call what comes back when it is done: its seconds are noted where it began in time."""
        began = self.now
        if began > self.until:
            return lambda: None
        self.unfinished += 1

        def done() -> None:
            self.unfinished -= 1
            into.append(self.now - began)

        return done

    def run(self) -> None:
        """To the end of the time, and on until nothing is unfinished that began in it."""
        while self._coming and (self._coming[0][0] <= self.until or self.unfinished):
            self.now, _order, then = heapq.heappop(self._coming)
            then()
        for station in self.stations.values():
            station.count(self.until)


def simulate(needs: Needs, demand: Demand, costs: Costs, *, load: float = 1.0, lost: int = 0, seed: int = 0) -> Outcome:
    """One cell of ``needs`` under ``load`` times the people that it is planned for, without so many of its web
    processes and of its workers."""
    rate = needs.turns_of_cell * load
    servers = {name: needs.of_cell(name) for name in STATIONS}
    servers |= {name: max(1, servers[name] - lost) for name in ("web", "worker")}
    cell = _Cell(
        servers | {"slots": servers["worker"] * REPLY_SLOTS}, max(TURNS / rate, 2 * demand.reply_s), seed
    )  # fmt: skip
    sockets = needs.sockets_of_cell * load / servers["web"]
    waits: list[float] = []
    lags: list[float] = []
    _ask(cell, rate, demand, costs, waits, lags)
    for _process in range(servers["web"]):
        _look(cell, sockets, costs)
    cell.run()
    use = {name: station.busy_s / station.servers / cell.until for name, station in cell.stations.items()}
    return Outcome(_p95(waits), _p95(lags), use | {"sockets": sockets / most_sockets(costs)})


def _ask(cell: _Cell, rate: float, demand: Demand, costs: Costs, waits: list[float], lags: list[float]) -> None:
    """Questions at that rate, and the replies that are under way already."""
    tokens_a_tick = TICK_S / demand.token_s

    def stream(left: float) -> None:
        """The ticks of a reply that has ``left`` tokens to come, each passing worker, Redis and web."""
        if left <= 0:
            cell.free("slots")
            return
        tokens, shown = min(left, tokens_a_tick), cell.noting(lags)

        def relayed() -> None:
            cell.work("web", tokens * costs.token_s["web"], shown)

        def logged() -> None:
            cell.work("redis", tokens * costs.token_s["redis"], relayed)

        cell.work("worker", tokens * costs.token_s["worker"], logged)
        cell.at(cell.now + TICK_S, lambda: stream(left - tokens))

    def ask() -> None:
        cell.at(cell.now + cell.chance.expovariate(rate), ask)
        begun = cell.noting(waits)

        def ready() -> None:
            begun()
            cell.at(cell.now + demand.first_s, lambda: stream(demand.tokens))

        def claimed() -> None:
            cell.work("redis", costs.turn_s["redis"], ready)

        def held() -> None:
            cell.work("worker", costs.turn_s["worker"], claimed)

        def stored() -> None:
            cell.take("slots", held)

        def accepted() -> None:
            cell.work("postgres", costs.turn_s["postgres"], stored)

        cell.work("web", costs.turn_s["web"], accepted)

    def go_on(age: float) -> None:
        """A reply that was begun ``age`` seconds ago."""
        streamed = max(0.0, age - demand.first_s) / demand.token_s
        begins = max(demand.first_s - age, cell.chance.uniform(0, TICK_S))
        cell.take("slots", lambda: cell.at(cell.now + begins, lambda: stream(demand.tokens - streamed)))

    for _reply in range(round(rate * demand.reply_s)):
        go_on(cell.chance.uniform(0, demand.reply_s))
    cell.at(cell.chance.expovariate(rate), ask)


def _look(cell: _Cell, sockets: float, costs: Costs) -> None:
    """What a web process does for its sockets, every LOOK_S: it, PostgreSQL and Redis work in turn."""

    def work(name: str, then: Then) -> None:
        cell.work(name, sockets * LOOK_S * costs.socket_s[name], then)

    def look() -> None:
        cell.at(cell.now + LOOK_S, look)
        work("web", lambda: work("postgres", lambda: work("redis", lambda: None)))

    cell.at(cell.chance.uniform(0, LOOK_S), look)


def breaking_point(needs: Needs, demand: Demand, costs: Costs, *, seed: int = 0) -> tuple[float, Outcome]:
    """By how much people must grow until replies wait or a station is full, and how the cell fares then."""
    held, broken = 1.0, STEP
    while (outcome := simulate(needs, demand, costs, load=broken, seed=seed)).holds:
        held, broken = broken, broken * STEP
    for _ in range(REFINED):
        between = (held + broken) / 2
        if (found := simulate(needs, demand, costs, load=between, seed=seed)).holds:
            held = between
        else:
            broken, outcome = between, found
    return round(broken, 2), outcome


def _p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)] if values else 0.0
