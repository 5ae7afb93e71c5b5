"""How many processors, machines and bytes so many people need: arithmetic from what the bench measured."""

import math
from dataclasses import asdict, dataclass
from typing import Any

STATIONS = ("web", "worker", "postgres", "redis")


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one processor, by station (STATIONS): of a turn, of each of its tokens, and a second of each open
    socket. ``untold``: to whom a token costs too little to be told. ``web_bytes``: resident memory of a web process
    without sockets; ``socket_bytes``: of one that streams. ``source`` says where they were measured."""

    turn_s: dict[str, float]
    token_s: dict[str, float]
    socket_s: dict[str, float]
    web_bytes: float
    socket_bytes: float
    source: str
    untold: frozenset[str] = frozenset()

    def per_turn(self, station: str, tokens: int) -> float:
        return self.turn_s[station] + tokens * self.token_s[station]

    def told(self) -> str:
        """In two lines."""
        parts = [f"{name} {self.turn_s[name] * 1e3:.2f} ms + {self._token_told(name)}" for name in STATIONS]
        idle = [f"{name} {each * 1e6:.1f} µs" for name, each in self.socket_s.items() if each]
        return (
            f"a turn and a token: {', '.join(parts)} ({self.source})\n"
            f"a socket, a second: {', '.join(idle)}; {self.socket_bytes / 1024:.1f} KiB, "
            f"of a web process that has {self.web_bytes / MIB:.0f} MiB without"
        )

    def _token_told(self, name: str) -> str:
        return "too little to tell" if name in self.untold else f"{self.token_s[name] * 1e6:.1f} µs"


MIB = 2**20
#: What a part's cost of a token may lie below nothing, as a share of all that a token costs.
NOISE = 0.1
#: Processor time of an open socket, a second, though nobody asks: sessions are looked at every 2.5 s, presence is told,
#: pings are answered (4,000 sockets, bench_servers on an Intel Xeon, 2026-11-29).
SOCKET_S = {"web": 11.6e-6, "worker": 0.0, "postgres": 2.3e-6, "redis": 0.0}


def costs_of(bench: dict[str, Any]) -> Costs:
    """Of the bench's JSON. A part to which a token costs nearly nothing may come out just below it: that counts as
    nothing. Raises ValueError where there are no costs, or such as only a busy machine measures."""
    cost, memory = bench.get("cost") or {}, bench.get("memory") or {}
    least = -NOISE * cost.get("product", {}).get("us_per_token", 0)
    if not cost or any(cost[name]["ms_per_turn"] <= 0 or cost[name]["us_per_token"] < least for name in STATIONS):
        raise ValueError("it has no costs of each part to go by: run the bench on a quiet machine, with 500 users")
    if not memory:
        raise ValueError("it has no memory of a socket to go by")
    return Costs(
        turn_s={name: cost[name]["ms_per_turn"] / 1e3 for name in STATIONS},
        token_s={name: max(0.0, cost[name]["us_per_token"]) / 1e6 for name in STATIONS},
        socket_s=SOCKET_S,
        web_bytes=memory["mib_before"] * MIB,
        socket_bytes=memory["kib_per_streaming_socket"] * 1024,
        source=f"{bench['machine']['processor_name']}, {bench['machine']['commit']}",
        untold=frozenset(name for name in STATIONS if cost[name]["us_per_token"] <= 0),
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


#: A process is filled to this share in the busiest hour: what is left takes bursts.
FILLED = 0.6
#: Web processes and reply workers of a cell beyond those: one may be lost, or be started anew.
SPARE = 1
#: Replies that a worker streams at the same time, at most (settings.REPLY_SLOTS).
REPLY_SLOTS = 160
#: Sockets with which a web process is as full as it should be, and its memory (deploy/k8s).
SOCKETS_OF_WEB, WEB_BYTES_LIMIT = 4000, 768 * MIB
#: Of one PostgreSQL primary: processors, and bytes that can be backed up, restored and vacuumed within a night.
PRIMARY_CORES, PRIMARY_BYTES = 32, 4e12
#: Connections of a process to its pooler or server, at most (settings.DATABASES), and how many there are in a cell that
#: are neither web nor worker: two of Celery's, and beat.
CONNECTIONS, OTHERS = 12, 3


@dataclass(frozen=True, slots=True)
class Needs:
    """Of all people together, but for what is of a cell: that which shares one PostgreSQL primary. ``slots``: replies
    that all workers may stream. ``web_mib``: resident memory of a web process."""

    people: int
    cells: int
    turns_per_s: float
    tokens_per_s: float
    sockets: float
    streaming: float
    web: int
    sockets_a_web: float
    web_mib: float
    workers: int
    slots: int
    postgres_cores: int
    redis: int
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

    @property
    def sockets_of_cell(self) -> float:
        return self.sockets / self.cells

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items() if name != "people"}


def most_sockets(costs: Costs, share: float = 1.0) -> float:
    """How many sockets fill a web process's memory to that share of its limit."""
    return max(1.0, (share * WEB_BYTES_LIMIT - costs.web_bytes) / costs.socket_bytes)


def needs_of(people: int, demand: Demand, costs: Costs) -> Needs:
    """What ``people`` need in the busiest hour, each station filled to FILLED, with SPARE processes in each cell."""
    turns = demand.turns_per_s(people)
    streaming, sockets = turns * demand.reply_s, people * demand.active * demand.sockets
    cores = {
        name: (turns * costs.per_turn(name, demand.tokens) + sockets * costs.socket_s[name]) / FILLED
        for name in STATIONS
    }
    stored = people * demand.active * demand.turns * demand.kept_days * 2 * demand.message_bytes
    cells = max(1, math.ceil(cores["postgres"] / PRIMARY_CORES), math.ceil(stored / PRIMARY_BYTES))

    def servers(*filled: float) -> int:
        """As many in each cell as the term needs that needs the most."""
        return max(1, *(math.ceil(each / cells) for each in filled))

    web = cells * (SPARE + servers(cores["web"], sockets / min(SOCKETS_OF_WEB, most_sockets(costs, FILLED))))
    workers = cells * (SPARE + servers(cores["worker"], streaming / (FILLED * REPLY_SLOTS)))
    return Needs(
        people=people,
        cells=cells,
        turns_per_s=turns,
        tokens_per_s=turns * demand.tokens,
        sockets=sockets,
        streaming=streaming,
        web=web,
        sockets_a_web=sockets / web,
        web_mib=(costs.web_bytes + sockets / web * costs.socket_bytes) / MIB,
        workers=workers,
        slots=workers * REPLY_SLOTS,
        postgres_cores=cells * servers(cores["postgres"]),
        redis=cells * servers(cores["redis"]),
        connections=CONNECTIONS * (web + workers + cells * OTHERS),
        rows_per_s=2 * turns,
        database_gb=stored / 1e9,
    )
