"""The load: people who ask, read to the end, think, and ask again; through the product or straight to the model."""

import abc
import asyncio
import contextlib
import dataclasses
import functools
import gc
import itertools
import json
import random
import resource
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from .bench_cpu import Parts, Sample
from .bench_socket import HandshakeRefused, ModelConnection, WebSocket
from .bench_turns import ENDINGS, Turn, percentile

DELTA = b'{"type":"reply.delta"'
CONNECTS_AT_ONCE = 64
SAMPLE_SECONDS = 1.0
SETTLE_SECONDS = 1.0
GRACE_SECONDS = 90.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One phase. People think ``think_s`` seconds between turns, give or take a quarter.

    They start evenly over ``spread_s`` seconds, by default as long as a turn and the thought after it take: so turns
    come at the same rate from the first to the last. The same plan gives the same schedule through the product and
    directly.
    """

    name: str
    users: int
    turns: int = 3
    think_s: float = 10.0
    spread_s: float | None = None
    tokens: int = 60
    first_ms: float = 200.0
    token_ms: float = 20.0

    @property
    def model(self) -> str:
        """The model's name, by which the fake model server knows what to send."""
        return f"fake?stamp=1&tokens={self.tokens}&first_ms={self.first_ms:g}&token_ms={self.token_ms:g}"

    @property
    def persona(self) -> str:
        """Slug of the persona that answers with this plan's model."""
        return f"bench-{self.tokens}-{self.first_ms:g}-{self.token_ms:g}"

    @property
    def reply_s(self) -> float:
        """How long the model takes for a reply."""
        return (self.first_ms + self.tokens * self.token_ms) / 1000

    @property
    def starts_s(self) -> float:
        """Seconds until the last person has begun."""
        return self.think_s + self.reply_s if self.spread_s is None else self.spread_s

    @property
    def expected_s(self) -> float:
        """When the last person is done if nothing waits."""
        return self.starts_s + self.turns * (self.reply_s + 1.25 * self.think_s)

    def pauses(self, user: int) -> list[float]:
        """Seconds that person ``user`` waits before each turn."""
        # Not for secrets: the same numbers again for the same plan is what is wanted.
        chance = random.Random(f"{self.name} {user}")
        between = [self.think_s * chance.uniform(0.75, 1.25) for _ in range(self.turns - 1)]
        return [self.starts_s * user / self.users, *between]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What a phase gave. ``samples`` holds one before the first question, one a second, one after the last reply.

    From ``steady_from`` to ``steady_to`` turns came and ended at the same rate. ``generator_cpu_s`` is this process'
    own.
    """

    plan: Plan
    turns: list[Turn]
    samples: list[Sample]
    steady_from: float
    steady_to: float
    generator_cpu_s: float


class Person(abc.ABC):
    """Somebody with one connection who asks ``plan.turns`` times."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._pauses: list[float] = []
        self._plan = Plan(name="", users=0)
        self._on_done: Callable[[], None] = lambda: None
        self._busy = False

    def start(self, plan: Plan, pauses: list[float], on_done: Callable[[], None]) -> None:
        """Ask after each of the pauses; ``on_done`` is called once, after the last reply or the connection's loss."""
        self.turns = []
        self._plan, self._pauses, self._on_done = plan, pauses, on_done
        self.reset()
        asyncio.get_running_loop().call_later(pauses[0], self._ask)

    def _ask(self) -> None:
        self._busy = True
        number = len(self.turns)
        self.turns.append(Turn(number, time.monotonic()))
        self.send(f"Question {number}: what comes after {number * 7}, and why does it come there?")

    def _ended(self, now: float, fault: str = "") -> None:
        if not self._busy:
            return
        self._busy = False
        turn = self.turns[-1]
        turn.ended_at = now
        turn.fault = turn.fault or fault
        if len(self.turns) < self._plan.turns and not fault.startswith("lost"):
            asyncio.get_running_loop().call_later(self._pauses[len(self.turns)], self._ask)
        else:
            self._on_done()

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget what belongs to an earlier plan."""

    @abc.abstractmethod
    def send(self, text: str) -> None:
        """Ask."""

    @abc.abstractmethod
    def close(self) -> None:
        """Leave."""


class Envelope(msgspec.Struct):
    """What tells one event from another; read only of those that are not deltas."""

    type: str
    position: int = 0
    code: str = ""


class Identified(msgspec.Struct):
    """Anything with an id."""

    id: str


class Accepted(msgspec.Struct):
    """The part of ``message.accepted`` that the next question needs."""

    conversation: Identified


_envelope = msgspec.json.Decoder(Envelope).decode
_accepted = msgspec.json.Decoder(Accepted).decode


class ChatPerson(Person):
    """A tab: one socket, one conversation."""

    def __init__(self) -> None:
        super().__init__()
        self._socket: WebSocket | None = None
        self._conversation: str | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, address: tuple[str, int], cookie: str) -> None:
        """Returns after ``ready``. Raises OSError, TimeoutError or HandshakeRefused."""
        self._socket = await WebSocket.connect(address, cookie, self._on_text, self._on_closed)
        await asyncio.wait_for(self._ready, 30)

    def reset(self) -> None:
        self._conversation = None

    def send(self, text: str) -> None:
        command = {
            "type": "message.send",
            "client_id": secrets.token_hex(8),
            "conversation": self._conversation,
            "text": text,
        }
        if self._conversation is None:
            command["persona"] = self._plan.persona
        if self._socket is not None:
            self._socket.send(json.dumps(command).encode())

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _on_text(self, payload: bytes, now: float) -> None:
        if payload.startswith(DELTA):
            self.turns[-1].pieces.append((now, payload))
            return
        event = _envelope(payload)
        if event.type == "ready":
            if not self._ready.done():
                self._ready.set_result(None)
        elif event.type.startswith("reply."):
            self._on_reply(event, payload, now)
        elif event.type == "message.accepted":
            self.turns[-1].accepted_at = now
            self._conversation = _accepted(payload).conversation.id
        elif event.type == "error":
            self._ended(now, f"refused: {event.code}")

    def _on_reply(self, event: Envelope, payload: bytes, now: float) -> None:
        turn = self.turns[-1]
        if event.type == "reply.queued":
            turn.queued_at = turn.queued_at or now
            turn.position = max(turn.position, event.position)
            return
        turn.pieces.append((now, payload))
        if event.type == "reply.started":
            turn.started_at = now
        elif event.type in ENDINGS:
            self._ended(now)

    def _on_closed(self, code: int) -> None:
        if not self._ready.done():
            self._ready.set_exception(HandshakeRefused(f"closed with {code}"))
        self._socket = None
        self._ended(time.monotonic(), f"lost: closed with {code}")


class DirectPerson(Person):
    """A client of the model server itself: what the product's figures are held against."""

    def __init__(self) -> None:
        super().__init__()
        self._connection: ModelConnection | None = None

    async def connect(self, address: tuple[str, int]) -> None:
        """Raises OSError."""
        self._connection = await ModelConnection.connect(address, self._on_piece, self._on_end)

    def reset(self) -> None:
        """Nothing is kept between plans."""

    def send(self, text: str) -> None:
        if self._connection is not None:
            self._connection.ask(self._plan.model, text)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _on_piece(self, piece: bytes, now: float) -> None:
        self.turns[-1].pieces.append((now, piece))

    def _on_end(self, whole: bool, now: float) -> None:
        if not whole:
            self._connection = None
        self._ended(now, "" if whole else "lost: connection closed")


async def connect_chat(addresses: Sequence[tuple[str, int]], cookies: Sequence[str]) -> list[ChatPerson]:
    """One tab for each cookie, evenly over ``addresses``. Raises what the first to fail raises."""
    people = [ChatPerson() for _ in cookies]
    turnstile = asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def enter(person: ChatPerson, address: tuple[str, int], cookie: str) -> None:
        async with turnstile:
            await person.connect(address, cookie)

    await asyncio.gather(*map(enter, people, itertools.cycle(addresses), cookies))
    return people


async def connect_direct(address: tuple[str, int], count: int) -> list[DirectPerson]:
    """``count`` clients of the model server."""
    people = [DirectPerson() for _ in range(count)]
    for person in people:
        await person.connect(address)
    return people


async def drive(plan: Plan, people: Sequence[Person], parts: Parts) -> Run:
    """Let the people go through the plan; returns when all are done or nothing can be hoped for any more."""
    gc.collect()
    gc.disable()  # a pause of the generator would look like one of the product
    samples = [parts.sample()]
    sampler = asyncio.create_task(_keep_sampling(parts, samples))
    began, own = time.monotonic(), _own_cpu_s()
    left = set(range(len(people)))
    finished = asyncio.Event()
    try:
        for number, person in enumerate(people):
            person.start(plan, plan.pauses(number), functools.partial(_strike_out, left, number, finished))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(finished.wait(), plan.expected_s + GRACE_SECONDS)
        own = _own_cpu_s() - own
        await asyncio.sleep(SETTLE_SECONDS)  # what the last reply leaves to do belongs to it
        samples.append(parts.sample())
    finally:
        sampler.cancel()
        gc.enable()
    turns = [turn for person in people for turn in person.turns]
    # Turns that were never sent, because their person had lost the connection before.
    turns += [Turn(number, 0.0, fault="lost: never sent") for p in people for number in range(len(p.turns), plan.turns)]
    return Run(
        plan=plan,
        turns=turns,
        samples=samples,
        steady_from=began + plan.reply_s,
        steady_to=percentile(sorted(turn.sent_at for turn in turns if turn.sent_at), 0.9),
        generator_cpu_s=own,
    )


def _strike_out(left: set[int], number: int, finished: asyncio.Event) -> None:
    left.discard(number)
    if not left:
        finished.set()


async def _keep_sampling(parts: Parts, samples: list[Sample]) -> None:
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        samples.append(parts.sample())


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
