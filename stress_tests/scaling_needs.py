"""How many processors, machines and bytes so many people need: arithmetic from what the bench measured."""

import math
from dataclasses import asdict, dataclass
from typing import Any

STATIONS = ("web", "worker", "postgres", "redis")


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one processor, by station (STATIONS). ``source`` says where they were measured."""

    turn_s: dict[str, float]
    token_s: dict[str, float]
    source: str

    def per_turn(self, station: str, tokens: int) -> float:
        return self.turn_s[station] + tokens * self.token_s[station]

    def told(self) -> str:
        each = [f"{name} {self.turn_s[name] * 1e3:.2f} ms + {self.token_s[name] * 1e6:.1f} µs" for name in STATIONS]
        return f"{', '.join(each)} a token ({self.source})"


#: What a part's cost of a token may lie below nothing, as a share of all that a token costs.
NOISE = 0.1


def costs_of(bench: dict[str, Any]) -> Costs:
    """Of the bench's JSON. A part to which a token costs nearly nothing may come out just below it: that counts as
    nothing. Raises ValueError where there are no costs, or such as only a busy machine measures."""
    cost = bench.get("cost") or {}
    least = -NOISE * cost.get("product", {}).get("us_per_token", 0)
    if not cost or any(cost[name]["ms_per_turn"] <= 0 or cost[name]["us_per_token"] < least for name in STATIONS):
        raise ValueError("it has no costs of each part to go by: run the bench on a quiet machine, with 500 users")
    return Costs(
        turn_s={name: cost[name]["ms_per_turn"] / 1e3 for name in STATIONS},
        token_s={name: max(0.0, cost[name]["us_per_token"]) / 1e6 for name in STATIONS},
        source=f"{bench['machine']['processor_name']}, {bench['machine']['commit']}",
    )


@dataclass(frozen=True)
class Demand:
    """What people do. ``active``: share of them on a day; ``turns``: of each a day; ``busiest``: share of a day's turns
    in its busiest hour; ``tokens`` in a reply, one every ``token_s`` seconds, the first after ``first_s``;
    ``message_bytes``: of a question or reply in the database, its indexes included; ``sockets``: open at once, of those
    active in the busiest hour; ``kept_days``: until retention removes a message."""

    active: float = 0.1
    turns: float = 8
    busiest: float = 0.12
    tokens: int = 200
    token_s: float = 0.02
    first_s: float = 0.5
    message_bytes: int = 1200  # 280 of row and indexes (40,000 rows), 500 of text, half as much again for old versions
    sockets: float = 0.3
    kept_days: int = 365

    def turns_per_s(self, people: float) -> float:
        """In the busiest hour."""
        return people * self.active * self.turns * self.busiest / 3600

    @property
    def reply_s(self) -> float:
        return self.first_s + self.tokens * self.token_s


#: A process is filled to this share in the busiest hour: what is left takes bursts, and the loss of one of three.
FILLED = 0.6
#: Of one PostgreSQL primary: processors, and bytes that can be backed up, restored and vacuumed within a night.
PRIMARY_CORES, PRIMARY_BYTES = 32, 4e12
#: Connections of a web process or reply worker to its pooler or server, at most (settings.DATABASES).
CONNECTIONS = 12
#: Resident bytes of a socket that streams (the bench: 56.1 KiB; an idle one 36.4 KiB).
SOCKET_BYTES = 57_500


@dataclass(frozen=True, slots=True)
class Needs:
    """Of all people together, but for what is of a cell: that which shares one PostgreSQL primary."""

    people: int
    cells: int
    turns_per_s: float
    streaming: float
    tokens_per_s: float
    sockets: float
    web: int
    workers: int
    postgres_cores: float
    redis: int
    web_memory_gb: float
    connections: int
    rows_per_s: float
    database_gb: float

    def of_cell(self, station: str) -> int:
        """Servers of a station in one cell: processes of one core each, PostgreSQL's cores, shards of Redis."""
        all_of = {"web": self.web, "worker": self.workers, "postgres": self.postgres_cores, "redis": self.redis}
        return max(1, math.ceil(all_of[station] / self.cells))

    @property
    def turns_of_cell(self) -> float:
        return self.turns_per_s / self.cells

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items() if name != "people"}


def needs_of(people: int, demand: Demand, costs: Costs) -> Needs:
    """What ``people`` need in the busiest hour, each station filled to FILLED."""
    turns = demand.turns_per_s(people)
    cores = {name: turns * costs.per_turn(name, demand.tokens) / FILLED for name in STATIONS}
    stored = people * demand.active * demand.turns * demand.kept_days * 2 * demand.message_bytes
    cells = max(1, math.ceil(cores["postgres"] / PRIMARY_CORES), math.ceil(stored / PRIMARY_BYTES))

    def servers(name: str) -> int:
        return cells * max(1, math.ceil(cores[name] / cells))

    sockets = people * demand.active * demand.sockets
    return Needs(
        people=people,
        cells=cells,
        turns_per_s=turns,
        streaming=turns * demand.reply_s,
        tokens_per_s=turns * demand.tokens,
        sockets=sockets,
        web=servers("web"),
        workers=servers("worker"),
        postgres_cores=servers("postgres"),
        redis=servers("redis"),
        web_memory_gb=sockets * SOCKET_BYTES / 1e9,
        connections=CONNECTIONS * (servers("web") + servers("worker")),
        rows_per_s=2 * turns,
        database_gb=stored / 1e9,
    )
