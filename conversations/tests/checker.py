"""What must hold after any fault, and clients that come back by themselves to see it.

``check`` compares what was accepted, what each client saw and what the database holds: nothing lost, nothing doubled,
the text equal byte for byte, and nothing that was cut called whole.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID, uuid4

import websockets

from accounts.models import User
from accounts.tests.factories import make_user
from chatbot_project.lib.db import run_db
from conversations.models import Message
from conversations.replies.prompt import CONTINUE
from conversations.transcript import load_citations
from stress_tests.fake_script import split_words

from .client import ChatClient, SeenReply, session_key

RETRY_SECONDS = 0.3
MAX_BACKOFF_SECONDS = 1.0
_numbers = itertools.count(1)


class PersistentClient(ChatClient):
    """A tab that reconnects to any of ``urls`` until it is closed, follows on from its cursors, and sends what was
    not acknowledged again under the same ``client_id``.

    ``leaves`` says whether it goes by itself when its server drains, or waits to be closed.
    """

    def __init__(self, urls: Sequence[str], key: str, *, leaves: bool = True) -> None:
        super().__init__(urls[0], key)
        self.urls = list(urls)
        self.leaves = leaves
        self.unacknowledged: dict[str, dict[str, Any]] = {}
        self.closes: list[int | None] = []
        self.drains = 0
        self.connected = 0
        self.resent = 0
        self._later: set[asyncio.Task[None]] = set()
        self._life: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._life = asyncio.create_task(self._live())
        await self.until(lambda: self.connected, "a connection", 40)
        return self

    async def close(self) -> None:
        for task in (self._life, *self._later):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await super().close()

    async def _live(self) -> None:
        backoff = 0.05
        for turn in itertools.count():
            try:
                await self.connect(self.urls[turn % len(self.urls)])
            except (OSError, TimeoutError, EOFError, websockets.WebSocketException):
                await asyncio.sleep(backoff * random.uniform(0.5, 1))
                backoff = min(MAX_BACKOFF_SECONDS, backoff * 2)
                continue
            if self.close_code is None:
                backoff = 0.05
                self.connected += 1
                self._changed.set()
                await self._resume()
            assert self._reader is not None
            await asyncio.wait([self._reader])
            if isinstance(self._reader.exception(), AssertionError):
                return  # the protocol was broken: ``until`` raises it
            self.closes.append(self.close_code)
            self._changed.set()
            await asyncio.sleep(backoff * random.uniform(0.5, 1))

    def leave_for(self, urls: Sequence[str]) -> None:
        """From now on reconnect to these only."""
        self.urls[:] = urls

    async def _resume(self) -> None:
        for client_id in list(self.unacknowledged):
            self.resent += 1
            await self._try_send(self.unacknowledged[client_id])
        await self._follow_all()

    async def _follow_all(self) -> None:
        conversations = {accepted["conversation"]["id"] for accepted in self.accepted.values()}
        cursors = {pk: [seen.epoch, len(seen.text)] for pk, seen in self.replies.items() if not seen.status}
        for conversation in conversations:
            await self._try_send({"type": "conversation.follow", "conversation": conversation, "cursors": cursors})

    async def _try_send(self, command: dict[str, Any]) -> None:
        try:
            await self.send(**command)
        except (OSError, websockets.ConnectionClosed):
            return  # sent again when the connection stands

    def _soon(self, make: Callable[[], Any]) -> None:
        async def run() -> None:
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1))
            await make()

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def submit(self, text: str, **fields: Any) -> str:
        """Send a question, again and again until it is acknowledged; returns its ``client_id`` at once."""
        client_id = str(fields.pop("client_id", None) or uuid4().hex)
        command = {"type": "message.send", "client_id": client_id, "text": text, **fields}
        self.unacknowledged[client_id] = command
        if self.close_code is None:
            await self._try_send(command)
        return client_id

    async def ask(self, text: str, **fields: Any) -> dict[str, Any]:
        return await self.answer_to(await self.submit(text, **fields))

    async def answer_to(self, client_id: str, seconds: float = 60) -> dict[str, Any]:
        found = await self.until(
            lambda: self.accepted.get(client_id) or self.errors.get(client_id), f"an answer to {client_id}", seconds
        )
        assert found["type"] == "message.accepted", found
        return dict(found)

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "error" and event["code"] == "unavailable":
            self.heard.append(event)
            command = self.unacknowledged.get(event["client_id"])
            self._soon((lambda: self._try_send(command)) if command else self._follow_all)
            return
        super().take(event)
        if kind == "message.accepted":
            self.unacknowledged.pop(event["client_id"], None)
        elif kind == "server.draining":
            self.drains += 1
            if self.leaves:
                self._soon(self._leave)

    async def _leave(self) -> None:
        await self._socket.close()


@dataclass
class Talk:
    """One question as its client knows it."""

    client: PersistentClient
    owner: User
    question: str
    persona: str | None = None
    client_id: str = ""
    accepted: dict[str, Any] = field(default_factory=dict)

    @property
    def reply(self) -> str:
        return str(self.accepted["reply"]["id"])

    @property
    def conversation(self) -> str:
        return str(self.accepted["conversation"]["id"])

    @property
    def seen(self) -> SeenReply:
        return self.client.replies[self.reply]

    async def submit(self) -> None:
        """Send the question, and have it sent until it is acknowledged."""
        self.client_id = await self.client.submit(self.question, persona=self.persona)

    async def accept(self) -> None:
        """Wait for its acknowledgement."""
        self.accepted = await self.client.answer_to(self.client_id)

    def first(self, tokens: int) -> str:
        """The first ``tokens`` tokens of what ``Script(echo=True)`` says to the question."""
        return "".join(split_words(echo(self.question))[:tokens])

    async def shows(self, tokens: int = 1, seconds: float = 30) -> None:
        """Wait until the client shows that much of the reply."""
        size = len(self.first(tokens))
        await self.client.until(lambda: len(self.seen.text) >= size, f"{tokens} tokens", seconds)

    async def ended(self, seconds: float = 60) -> SeenReply:
        return await self.client.ended(self.reply, seconds)


class Crowd:
    """``size`` people, each with one tab and one question to ask, spread over ``urls``; an async context manager.

    The first ``stay`` of them do not leave a server that drains before they are closed.
    """

    def __init__(
        self, urls: Sequence[str], size: int, *, words: int = 40, stay: int = 0, persona: str | None = None
    ) -> None:
        self._urls, self._size, self._words, self._stay = list(urls), size, words, stay
        self._persona = persona
        self.talks: list[Talk] = []

    async def __aenter__(self) -> Self:
        keys = await run_db(make_people, self._size)
        clients = []
        for place, (_user, key) in enumerate(keys):
            first = place % len(self._urls)
            urls = self._urls[first:] + self._urls[:first]
            clients.append(PersistentClient(urls, key, leaves=place >= self._stay))
        self.talks = [
            Talk(client, user, question(self._words), self._persona)
            for client, (user, _key) in zip(clients, keys, strict=True)
        ]
        await asyncio.gather(*(client.__aenter__() for client in clients))
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(talk.client.close() for talk in self.talks))

    async def ask(self) -> None:
        """Everybody asks; returns when all is acknowledged."""
        await asyncio.gather(*(talk.submit() for talk in self.talks))
        await self.accept()

    async def accept(self) -> None:
        await asyncio.gather(*(talk.accept() for talk in self.talks))

    async def show(self, tokens: int = 1) -> None:
        """Wait until everybody has that much of their reply."""
        await asyncio.gather(*(talk.shows(tokens) for talk in self.talks))

    async def end(self, seconds: float = 60) -> None:
        await asyncio.gather(*(talk.ended(seconds) for talk in self.talks))

    async def check(self, *allowed: str, said: "Said | None" = None) -> Counter[str]:
        return await check(self.talks, *allowed, said=said)


def make_people(size: int) -> list[tuple[User, str]]:
    users = [make_user() for _ in range(size)]
    return [(user, session_key(user)) for user in users]


def question(words: int = 40) -> str:
    """A question like no other: no two words of any two are the same, so that nothing doubled can hide."""
    number = next(_numbers)
    return " ".join(f"q{number}w{place}" for place in range(words)) + f" Grüße🌍{number}"


Said = Callable[[str], str]


def echo(text: str) -> str:
    """What ``Script(echo=True)`` says to ``text``."""
    return f"echo: {text}"


def continues(stored: str, whole: str) -> bool:
    """Whether ``stored`` is a part of ``whole`` and then all that ``Script(echo=True)`` says when told to go on."""
    rest = echo(CONTINUE)
    while stored.endswith(rest):
        stored = stored.removesuffix(rest)
        if stored and whole.startswith(stored):
            return True
    return False


async def check(talks: Sequence[Talk], *allowed: str, said: Said | None = None) -> Counter[str]:
    """Hold every talk against the database and against what the model said to its question (``echo`` by default).

    ``allowed`` are the endings that may occur, ``completed`` by default, and ``continued`` where a reply may have been
    handed over. Returns how often each occurred.
    """
    endings = set(allowed) or {"completed"}
    rows = await run_db(_rows, [talk.owner.pk for talk in talks])
    by_id = {row.pk: row for row in rows}
    counts: Counter[str] = Counter()
    for talk in talks:
        asked = [row for row in rows if row.owner_id == talk.owner.pk and row.role == "user"]
        assert talk.client_id not in talk.client.unacknowledged
        assert [row.client_id for row in asked].count(talk.client_id) == 1, "lost or doubled"
        stored = by_id[UUID(talk.accepted["message"]["id"])]
        assert (stored.client_id, stored.text) == (talk.client_id, talk.question)
        assert [row.pk for row in rows if row.parent_id == stored.pk] == [UUID(talk.reply)], "one reply to a question"
        reply = by_id[UUID(talk.reply)]
        counts[_check_reply(talk, reply, (said or echo)(talk.question), endings)] += 1
    acknowledged = {UUID(event["message"]["id"]) for talk in talks for event in talk.client.accepted.values()}
    assert {row.pk for row in rows if row.role == "user"} == acknowledged, "the questions that were acknowledged"
    return counts


def _rows(owners: list[UUID]) -> list[Message]:
    rows = list(Message.objects.filter(owner_id__in=owners))
    load_citations(rows)
    return rows


def _check_reply(talk: Talk, row: Message, whole: str, allowed: set[str]) -> str:
    """How one reply ended, after it was seen to be what its client has and what the model said."""
    seen = talk.seen
    case = (row.pk, row.status, row.error_code, row.epoch, row.text, seen)
    assert seen.status == f"reply.{row.status}", case
    assert seen.text == row.text, case
    cited = [{"number": c.number, "faq": str(c.faq_id), "question": c.question} for c in row.cited]
    assert (seen.source, seen.citations) == (row.source or "", cited), case
    assert row.lease_expires_at is None, case
    assert row.finished_at is not None, case
    status = str(row.status)
    if status == "completed" and row.text != whole:
        assert continues(row.text, whole), case
        status = "continued"
    elif status in ("interrupted", "stopped"):
        assert whole.startswith(row.text), case
        assert row.text or status == "stopped", case
    elif status == "failed":
        assert not row.text, case
    if status in ("completed", "continued"):
        assert row.finish_reason == "stop", case
    assert status in allowed, case
    return status
