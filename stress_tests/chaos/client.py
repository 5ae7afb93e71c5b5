"""A person with one tab, as the browser's page is one: an outbox, reconnecting, following on from where it stood.

What it does and hears goes into its history, and nothing is judged here: that is the checker's.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import websockets

from .history import ENDINGS, History, Shown
from .waits import Waits

PING_EVERY_SECONDS = 1.5
PONG_WITHIN_SECONDS = 2.0
CONNECT_SECONDS = 3.0
RETRY_SECONDS = 0.3
LONGEST_BACKOFF_SECONDS = 1.0
TURNS = 6  # in a conversation, before the next one is begun
BROKEN = (OSError, TimeoutError, EOFError, websockets.WebSocketException)


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How a client behaves. ``words`` make its questions long, and with them the replies; pauses are seconds."""

    persona: str | None = None
    words: int = 30
    think: float = 0.5
    stops: float = 0.05  # how many of its replies it stops
    goes_on: float = 0.5  # how many of those that broke off it lets go on
    patience: float = 0.2  # seconds that it waits for a server to answer its close
    stays: float = 0.0  # how often it does not leave a server that drains, until it is closed


@dataclass
class Witness:
    """What all clients have seen so far, for whoever steers the run: times are ``time.monotonic``."""

    accepted: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, times: list[float]) -> None:
        times.append(time.monotonic())
        self.changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Until ``condition()`` holds, asked whenever something was seen."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Client:
    """One person and tab. ``ports`` are those of the web processes as it reaches them, through proxies perhaps."""

    def __init__(
        self, name: str, key: str, ports: Sequence[int], history: History, witness: Witness, habits: Habits, seed: int
    ) -> None:
        self.name = name
        self.history = history
        self.waits = Waits()
        history.on_line = self.waits.read
        self._key, self._ports, self._witness, self._habits = key, list(ports), witness, habits
        self._chance = random.Random(f"{seed} {name}")
        self._outbox: dict[str, dict[str, Any]] = {}
        self._shown: dict[str, Shown] = {}
        self._accepted: dict[str, dict[str, Any]] = {}
        self._conversation: str | None = None
        self._numbers = itertools.count(1)
        self._socket: Any = None
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._later: set[asyncio.Task[None]] = set()
        self._leaving = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing that it asked is open any more."""
        return not self._outbox and all(shown.status for shown in self._shown.values())

    @property
    def is_streaming(self) -> bool:
        """Whether a reply is being written before its eyes."""
        return any(shown.text and not shown.status for shown in self._shown.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until ``stop``, then wait for what is open; its connection ends with this task."""
        life = asyncio.create_task(self._live())
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._habits.think * self._chance.uniform(0.5, 1.5))
                if not stop.is_set():
                    await self._turn()
            await self._until(lambda: self.is_idle)
        finally:
            for task in (life, *self._later):
                task.cancel()
            await asyncio.gather(life, *self._later, return_exceptions=True)
            await self._close()
            self.history.close()

    # --- what the person does

    async def _turn(self) -> None:
        """One question, and what is done about its reply until it has ended for good."""
        number = next(self._numbers)
        if number % TURNS == 1:
            self._conversation = None
        command: dict[str, Any] = {
            "type": "message.send",
            "client_id": f"{self.name}-{number}",
            "text": self._question(number),
            "conversation": self._conversation,
        }
        if self._conversation is None and self._habits.persona:
            command["persona"] = self._habits.persona
        accepted = await self._ask(command)
        reply = accepted["reply"]["id"]
        self._conversation = accepted["conversation"]["id"]
        if self._chance.random() < self._habits.stops:
            self._soon(self._chance.uniform(0.1, 1.0), lambda: self._stop(reply))
        await self._until(lambda: self._shown[reply].status)
        if self._shown[reply].status == "interrupted" and self._chance.random() < self._habits.goes_on:
            await self._ask({"type": "reply.continue", "client_id": f"{self.name}-{number}c", "reply": reply})
            await self._until(lambda: self._shown[reply].status)

    def _question(self, number: int) -> str:
        """Unlike any other, and no two words of any two are the same, so that nothing mixed can hide. The hundredth is
        as long as the first: a process that keeps its last texts would seem to grow."""
        words = (f"{self.name}q{number:05d}w{place}" for place in range(self._habits.words))
        return f"{' '.join(words)} Grüße🌍{number:05d}"

    async def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command, under the same ``client_id`` until it is acknowledged."""
        client_id = command["client_id"]
        self._outbox[client_id] = command
        self.history.note("asked", command=command)
        await self._send(command)
        await self._until(lambda: client_id in self._accepted)
        return self._accepted[client_id]

    async def _stop(self, reply: str) -> None:
        if not self._shown[reply].status:
            await self._send({"type": "reply.stop", "reply": reply})

    async def _until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    # --- its connection

    async def _live(self) -> None:
        backoff = 0.05
        start = self._chance.randrange(len(self._ports))
        for attempt in itertools.count(start):
            place = attempt % len(self._ports)
            try:
                self._socket = await self._connect(self._ports[place])
                self.history.note("opened", web=place)
                code = await self._listen()
            except BROKEN as error:
                self.history.note("refused", web=place, error=type(error).__name__)
                backoff = min(LONGEST_BACKOFF_SECONDS, backoff * 2)
            else:
                self.history.note("closed", code=code)
                backoff = 0.05
            await self._close()
            await asyncio.sleep(backoff * self._chance.uniform(0.5, 1))

    async def _connect(self, port: int) -> Any:
        return await websockets.connect(
            f"ws://127.0.0.1:{port}/ws/chat/",
            origin=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]  # a NewType
            additional_headers={"Cookie": f"sessionid={self._key}"},
            compression=None,
            max_size=None,
            ping_interval=None,  # it pings in the protocol's own way, as a page must
            open_timeout=CONNECT_SECONDS,
            close_timeout=self._habits.patience,
        )

    async def _listen(self) -> int | None:
        """Hear the socket out; its close code. One that keeps silent is given up."""
        self._heard_at = time.monotonic()
        heartbeat = asyncio.create_task(self._ping())
        try:
            async for frame in self._socket:
                self._heard_at = time.monotonic()
                await self._take(json.loads(frame))
        except websockets.ConnectionClosed:
            pass
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
        return int(self._socket.close_code or 0)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_SECONDS)
            asked = time.monotonic()
            await self._send({"type": "ping"})
            await asyncio.sleep(PONG_WITHIN_SECONDS)
            if self._heard_at < asked:
                self.history.note("gave_up")
                self._socket.transport.abort()
                return

    async def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*BROKEN):
                await socket.close()

    async def _send(self, command: dict[str, Any]) -> None:
        if self._socket is None:
            return  # sent once the connection stands
        if command["type"] != "ping":
            self.history.note("sent", command=command)
        with contextlib.suppress(*BROKEN):
            await asyncio.wait_for(self._socket.send(json.dumps(command)), PONG_WITHIN_SECONDS)

    def _soon(self, seconds: float, make: Callable[[], Any]) -> None:
        async def run() -> None:
            await asyncio.sleep(seconds)
            await make()

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # --- what it hears

    async def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "pong":
            return
        self.history.heard(event)
        if kind == "ready":
            await self._resume()
        elif kind == "server.draining" and self._chance.random() >= self._habits.stays:
            self._soon(self._chance.random() * event["within"] / 1000, self._leave)
        elif kind == "error":
            self._refused(event)
        elif kind == "message.accepted":
            self._acknowledged(event)
        elif kind == "conversation.snapshot":
            self._learn(event)
        elif kind.startswith("reply."):
            await self._take_reply(event)
        self._changed.set()

    async def _resume(self) -> None:
        for command in list(self._outbox.values()):
            await self._send(command)
        await self._follow()

    async def _follow(self) -> None:
        """Follow the conversation, from how much of each live reply is held."""
        if self._conversation is not None:
            cursors = {pk: [shown.epoch, len(shown.text)] for pk, shown in self._shown.items() if not shown.status}
            await self._send({"type": "conversation.follow", "conversation": self._conversation, "cursors": cursors})

    async def _leave(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    def _refused(self, event: dict[str, Any]) -> None:
        """The person presses "try again", with whatever patience the server asked for."""
        command = self._outbox.get(event["client_id"])
        wait = max(RETRY_SECONDS, event["retry_after"] or 0) * self._chance.uniform(0.5, 1)
        if command is not None:
            self._soon(wait, lambda: self._send_again(command))
        elif not event["client_id"]:
            self._soon(wait, self._follow)  # what it followed could not be read

    async def _send_again(self, command: dict[str, Any]) -> None:
        if command["client_id"] in self._outbox:
            await self._send(command)

    def _acknowledged(self, event: dict[str, Any]) -> None:
        if self._outbox.pop(event["client_id"], None) is not None:
            self._accepted[event["client_id"]] = event
            self._witness.note(self._witness.accepted)
        self._shown.setdefault(event["reply"]["id"], Shown()).learn(event["reply"])

    def _learn(self, event: dict[str, Any]) -> None:
        for message in event["messages"]:
            if message["role"] == "assistant":
                self._shown.setdefault(message["id"], Shown()).learn(message)

    async def _take_reply(self, event: dict[str, Any]) -> None:
        shown = self._shown.setdefault(event["reply"], Shown())
        was = shown.status
        problem = shown.take(event)
        if event["type"] in ENDINGS and not was and shown.status == "completed":
            self._witness.note(self._witness.completed)
        if problem:
            await self._follow()  # as the page does; the checker will find it in the history, too
