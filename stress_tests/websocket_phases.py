"""What is done to sockets, phase by phase; each returns figures and judges nothing."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .bench_cpu import cpu_between, rss_bytes
from .bench_load import Plan
from .bench_socket import HandshakeRefused, client_frame
from .bench_stack import Stack
from .bench_turns import Turn, percentiles_ms, product_outcome
from .websocket_visitor import Visitor

OPENING_AT_ONCE = 64
RETRY_SECONDS = 0.5
LONGEST_STORM_SECONDS = 60.0
LAST_PONG_SECONDS = 10.0
STEADY_SECONDS = 15.0  # after 20 a socket whose pings are not answered is closed for that
LONG_TEXT = 15_000  # characters of a question; a text may have 16,000
QUESTIONS, SNAPSHOTS = 10, 45  # a snapshot has 150 KiB then: 7 MiB in all
STREAM_SETTLE_SECONDS = 0.2
KIB = 1024
HELD_STATES = ("01", "08")  # established, close-wait
REFUSED = (OSError, TimeoutError, HandshakeRefused)


class Web:
    """What the web processes take up together."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.pids = [pid for name, pid in stack.parts().pids.items() if name.startswith("web")]

    def rss(self) -> int:
        return sum(map(rss_bytes, self.pids))

    def connections(self) -> int:
        """How many of their clients' connections are open, closed by the client alone among them."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        ports = set(self.stack.web_ports)
        return sum(1 for row in rows if int(row[1].partition(":")[2], 16) in ports and row[3] in HELD_STATES)

    def unsent(self) -> int:
        """Bytes that wait for clients in the system's queues."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        ports = set(self.stack.web_ports)
        return sum(int(row[4].partition(":")[0], 16) for row in rows if int(row[1].partition(":")[2], 16) in ports)

    def cpu_s(self) -> float:
        now = self.stack.parts().sample()
        return sum(spent for name, spent in now.cpu_s.items() if name.startswith("web"))


async def open_all(stack: Stack, visitors: Sequence[Visitor], settle_s: float) -> dict[str, Any]:
    """Open one socket for each cookie, some at once."""
    web = Web(stack)
    before, spent = web.rss(), web.cpu_s()
    turnstile = asyncio.Semaphore(OPENING_AT_ONCE)
    addresses = stack.web_addresses

    async def enter(number: int, visitor: Visitor) -> None:
        async with turnstile:
            await visitor.open(addresses[number % len(addresses)], stack.cookies[number])

    began = time.monotonic()
    done = await asyncio.gather(*map(enter, range(len(visitors)), visitors), return_exceptions=True)
    took = time.monotonic() - began
    refused = Counter(f"{type(error).__name__}: {error}" for error in done if error is not None)
    await asyncio.sleep(settle_s)
    return {
        "sockets": len(visitors),
        "opened": len(visitors) - refused.total(),
        "refused": dict(refused),
        "seconds": took,
        "ready_ms": percentiles_ms(visitor.ready_s for visitor in visitors if visitor.ready_s),
        "times_s": sorted(visitor.ready_s for visitor in visitors if visitor.ready_s),
        "kib_per_socket": (web.rss() - before) / KIB / len(visitors),
        "cpu_ms_per_socket": 1000 * (web.cpu_s() - spent) / len(visitors),
    }


async def ping_all(stack: Stack, visitors: Sequence[Visitor], *, seconds: float, every_s: float) -> dict[str, Any]:
    """Each pings every ``every_s`` seconds, however late others are answered; they take their turns evenly. Times count
    from the moment at which a ping was due. One without an answer, that of a closed socket too, is as late as the
    phase's end."""
    for visitor in visitors:
        visitor.pongs_s.clear()
    web = Web(stack)
    spent, began = web.cpu_s(), time.monotonic()
    pings: list[tuple[Visitor, float]] = []
    rounds = max(1, round(seconds / every_s))
    for number in range(rounds * len(visitors)):
        due = began + number * every_s / len(visitors)
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        visitor = visitors[number % len(visitors)]
        visitor.ping(due)
        pings.append((visitor, due))
    await asyncio.sleep(min(1.0, every_s))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_PONG_SECONDS):
            await asyncio.gather(*(visitor.answered() for visitor in visitors))
    ended = time.monotonic()
    answered = sum(due in visitor.pongs_s for visitor, due in pings)
    return {
        "due": len(pings),
        "answered": answered,
        "pong_ms": percentiles_ms(visitor.pongs_s.get(due, ended - due) for visitor, due in pings),
        "cpu_us_per_ping": 1e6 * (web.cpu_s() - spent) / max(1, answered),
    }


async def follow(stack: Stack, plan: Plan, tabs: int) -> dict[str, Any]:
    """Many tabs of one person follow a reply from its first token on: each has to hold all of it."""
    cookie, addresses = stack.cookies[0], stack.web_addresses
    asker = await Visitor().open(addresses[0], cookie)
    begun = await asker.ask("Begin.", plan.persona, None)
    conversation = begun["conversation"]["id"]
    await asker.until(lambda: asker.endings, "the end of the first reply")
    followers = [Visitor() for _ in range(tabs)]
    for number, follower in enumerate(followers):
        await follower.open(addresses[number % len(addresses)], cookie)
        follower.follow(conversation)
    for follower in followers:
        await follower.until(partial(follower.count, "conversation.snapshot"), "conversation.snapshot")
        follower.heard.clear()
    before, sent_at = stack.parts().sample(), time.monotonic()
    await asker.ask("Go on.", plan.persona, conversation)
    faults: Counter[str] = Counter()
    lags: list[float] = []
    for follower in followers:
        with contextlib.suppress(TimeoutError):
            await follower.until(partial(_has_ended, follower), "the reply's end", plan.reply_s + 30)
        outcome = product_outcome(_turn_of(follower, sent_at), plan.tokens)
        lags += outcome.lags_s
        faults.update([outcome.fault] if outcome.fault else [])
    spent = cpu_between(before, stack.parts().sample())
    for visitor in (asker, *followers):
        visitor.close()
    return {
        "tabs": tabs,
        "whole": tabs - faults.total(),
        "faults": dict(faults),
        "lag_ms": percentiles_ms(lags),
        "cpu_us_per_token_and_tab": 1e6 * sum(s for n, s in spent.items() if n.startswith("web")) / tabs / plan.tokens,
    }


def _turn_of(follower: Visitor, sent_at: float) -> Turn:
    """What it heard of the reply, in the shape in which turns are judged."""
    turn = Turn(0, sent_at, accepted_at=sent_at)
    kept = [(now, frame) for kind, frame, now in follower.heard if kind.startswith("reply.") and kind != "reply.queued"]
    turn.pieces = kept
    return turn


async def storm(stack: Stack, visitors: Sequence[Visitor]) -> dict[str, Any]:
    """All are cut off at once and come back at once, again and again until they are in."""
    web = Web(stack)
    for visitor in visitors:
        visitor.drop()
    await asyncio.sleep(STREAM_SETTLE_SECONDS)
    spent, began = web.cpu_s(), time.monotonic()
    refused: Counter[str] = Counter()

    async def come_back(number: int, visitor: Visitor) -> float | None:
        chance = random.Random(number)
        address = stack.web_addresses[number % len(stack.web_addresses)]
        visitor.heard.clear()
        while time.monotonic() - began < LONGEST_STORM_SECONDS:
            try:
                await visitor.open(address, stack.cookies[number])
            except REFUSED as error:
                refused[f"{type(error).__name__}: {error}"] += 1
                await asyncio.sleep(RETRY_SECONDS * chance.uniform(0.5, 1.5))
            else:
                return time.monotonic() - began
        return None

    times = await asyncio.gather(*map(come_back, range(len(visitors)), visitors))
    back = sorted(each for each in times if each is not None)
    return {
        "sockets": len(visitors),
        "back": len(back),
        "refused": dict(refused),
        "back_ms": percentiles_ms(back),
        "times_s": back,
        "cpu_ms_per_socket": 1000 * (web.cpu_s() - spent) / len(visitors),
        "rss": web.rss(),
    }


async def slow_readers(
    stack: Stack, others: Sequence[Visitor], cookies: Sequence[str], persona: str, *, seconds: float
) -> dict[str, Any]:
    """People ask for far more than a socket's bound and read nothing of it, while the others ping. What is kept of it
    must not be much, and a reader that comes back finds everything. Memory is that of each but the first, None where
    there is no other: what a first use loads is several times as much."""
    slow = [await Visitor().open(stack.web_address, cookie) for cookie in cookies]
    conversations = await asyncio.gather(*(_long_conversation(visitor, persona) for visitor in slow))
    web = Web(stack)
    _stop_reading(slow[0], conversations[0])
    await _until_steady(web)
    with_first = web.rss()
    for visitor, conversation in zip(slow[1:], conversations[1:], strict=True):
        _stop_reading(visitor, conversation)
    pings = await ping_all(stack, others, seconds=seconds, every_s=max(1.0, seconds / 5))
    await _until_steady(web)
    most = web.rss()
    for visitor in slow:
        if visitor.socket is not None:
            visitor.socket.read(on=True)
    closed: Counter[str] = Counter()
    for visitor in slow:
        with contextlib.suppress(TimeoutError):
            await visitor.until(partial(_is_closed, visitor), "close", 15)
        closed[str(visitor.close_code)] += 1
    whole = 0
    for visitor, cookie, conversation in zip(slow, cookies, conversations, strict=True):
        whole += await _is_whole(stack, visitor, cookie, conversation)
    return {
        "readers": len(slow),
        "closed": dict(closed),
        "whole_afterwards": whole,
        "kib_per_reader": (most - with_first) / KIB / len(slow[1:]) if slow[1:] else None,
        "others": pings,
    }


def _stop_reading(visitor: Visitor, conversation: str) -> None:
    visitor.heard.clear()
    if visitor.socket is not None:
        visitor.socket.read(on=False)
    for _ in range(SNAPSHOTS):
        visitor.say("conversation.follow", conversation=conversation)


async def _until_steady(web: Web) -> None:
    """Until the web processes have had time for all that was asked of them: nothing more goes into their queues."""
    deadline, waiting = time.monotonic() + STEADY_SECONDS, -1
    while waiting != (waiting := web.unsent()) and time.monotonic() < deadline:  # noqa: ASYNC110  read from /proc
        await asyncio.sleep(1.0)


async def _long_conversation(visitor: Visitor, persona: str) -> str:
    conversation = None
    for number in range(1, QUESTIONS + 1):
        accepted = await visitor.ask(f"Question {number}: {'x' * LONG_TEXT}", persona, conversation)
        conversation = accepted["conversation"]["id"]
        await visitor.until(partial(_has_ended, visitor, number), "the reply's end")
    return str(conversation)


async def _is_whole(stack: Stack, visitor: Visitor, cookie: str, conversation: str) -> bool:
    """Whether somebody who comes back is sent all questions of the conversation."""
    visitor.close()
    fresh = await Visitor().open(stack.web_address, cookie)
    fresh.say("conversation.follow", conversation=conversation)
    await fresh.until(lambda: fresh.count("conversation.snapshot"), "conversation.snapshot")
    snapshot = json.loads(next(frame for kind, frame, _ in fresh.heard if kind == "conversation.snapshot"))
    fresh.close()
    questions = [message for message in snapshot["messages"] if message["role"] == "user"]
    return len(questions) == QUESTIONS and all(len(message["text"]) > LONG_TEXT for message in questions)


def _masked(first: int, payload: bytes) -> bytes:
    """A client's frame with any first byte."""
    return bytes((first,)) + client_frame(1, payload)[1:]


PING_COMMAND = b'{"type":"ping"}'
#: What is no frame, or no command: what is sent, and what may come of it, a close code or the answer's type. 1006 is a
#: connection that was cut: a broken frame leaves nothing to be said.
BROKEN: dict[str, tuple[bytes, frozenset[str]]] = {
    "JSON that breaks off": (client_frame(1, b'{"type":"ping"'), frozenset({"error"})),
    "an unknown command": (client_frame(1, b'{"type":"message.shout"}'), frozenset({"error"})),
    "30,000 nested arrays": (client_frame(1, b"[" * 30_000), frozenset({"error"})),
    "a binary frame": (client_frame(2, PING_COMMAND), frozenset({"4400"})),
    "no mask": (bytes((0x81, len(PING_COMMAND))) + PING_COMMAND, frozenset({"1002", "1006"})),
    "reserved bits": (_masked(0xF1, PING_COMMAND), frozenset({"1002", "1006"})),
    "an unknown opcode": (_masked(0x83, PING_COMMAND), frozenset({"1002", "1006"})),
    "a ping of 126 bytes": (client_frame(9, b"x" * 126), frozenset({"1002", "1006"})),
    "a ping in fragments": (_masked(0x09, b"x"), frozenset({"1002", "1006"})),
    "a continuation of nothing": (client_frame(0, PING_COMMAND), frozenset({"1002", "1006"})),
    "text that is no UTF-8": (client_frame(1, b"\xff\xfe\xfd"), frozenset({"1007", "1006"})),
    "65 KiB": (client_frame(1, b" " * (65 * 1024)), frozenset({"1009", "1006"})),
    "a length of 2^63": (
        bytes((0x81, 0xFF)) + b"\x7f" + b"\xff" * 7 + b"\x00" * 4,
        frozenset({"1002", "1009", "1006"}),
    ),
    "1,000 frames at once": (client_frame(1, PING_COMMAND) * 1000, frozenset({"4429"})),
}


async def break_frames(stack: Stack, others: Sequence[Visitor], cookie: str, rounds: int) -> dict[str, Any]:
    """Each kind on sockets of its own, ``rounds`` times; afterwards the others have to be as they were."""
    found: dict[str, dict[str, int]] = {}
    for name, (data, _) in BROKEN.items():
        said = [await _answer_to(stack, cookie, data) for _ in range(rounds)]
        found[name] = dict(Counter(said))
    return {"answers": found, "others": await ping_all(stack, others, seconds=1.0, every_s=1.0)}


async def _answer_to(stack: Stack, cookie: str, data: bytes) -> str:
    """The close code, the type of the event that answered, or ``nothing``."""
    visitor = await Visitor().open(stack.web_address, cookie)
    visitor.heard.clear()
    if visitor.socket is not None:
        visitor.socket.send_bytes(data)
    with contextlib.suppress(TimeoutError):
        await visitor.until(lambda: visitor.close_code is not None or visitor.heard, "answer", 10)
    said = (
        str(visitor.close_code)
        if visitor.close_code is not None
        else visitor.heard[0][0]
        if visitor.heard
        else "nothing"
    )
    visitor.close()
    return said


def _has_ended(visitor: Visitor, replies: int = 1) -> bool:
    return visitor.endings >= replies


def _is_closed(visitor: Visitor) -> bool:
    return visitor.close_code is not None
