"""The cache's part in a reply: answered as before, together with others who ask the same, or first of all."""

import asyncio
from contextlib import suppress
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from chatbot_project.lib.db import run_db
from chatbot_project.lib.metrics import names as metrics
from conversations.replies.cache import entries
from conversations.replies.cache.asking import Asked, asked_of, is_for_all
from conversations.replies.cache.entries import Entry, Seen
from conversations.replies.cache.vectors import vector_of
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending
from conversations.safety.rules import OUTPUT, RuleSet
from faqs.languages import LANGUAGES, detect_language

log = structlog.get_logger(__name__)

TRIES = 2  # of a question whose answer turns out to break a rule
LOOK_SECONDS = 0.2  # between two looks at a question that another worker is at
RESULTS = ("exact", "near", "joined", "miss", "late")
for _result in RESULTS:
    metrics.RESPONSE_CACHE.labels(_result)


class ReplyCache:
    """A worker's view of the cache. However many of its replies wait for the same answer, one of them looks."""

    def __init__(self) -> None:
        self.looks: dict[str, asyncio.Task[Seen]] = {}
        self._led: dict[str, asyncio.Event] = {}

    async def answered_before(self, reply: LiveReply, rules: RuleSet, seen: str) -> Ending | None:
        """The ending of a reply whose question was answered before, with its text in the reply. ``None`` where a model
        is to be asked; where the reply then has ``shared``, others wait for what it says (see ``settled``).

        ``seen`` says which knowledge was looked at, and for whom. A database that is away costs a model call.
        """
        if not is_for_all(reply):
            return None
        try:
            for _ in range(TRIES):
                entry, result = await self._find(reply, seen)
                ending = None if entry is None else await self._again(reply, entry, rules)
                if ending is not None or entry is None:
                    break
            else:
                result = "late"
        except (DatabaseError, InterfaceError) as error:
            log.warning("worker.database_away", step="cache", error=type(error).__name__)
            return None
        metrics.RESPONSE_CACHE.labels(result).inc()
        if ending is not None:
            log.info("reply.answered_before", reply=str(reply.reply), how=result)
        return ending

    def settled(self, reply: LiveReply) -> None:
        """``reply`` has ended, and what others get of it is stored: those who wait here look at once."""
        if reply.shared is not None and (event := self._led.pop(reply.shared.key, None)) is not None:
            event.set()

    async def _find(self, reply: LiveReply, seen: str) -> tuple[Entry | None, str]:
        """What answers ``reply``, and how that was found (one of RESULTS). Sets its ``shared`` where others wait for
        what it says."""
        asked, found = await run_db(_look, reply, seen)
        if found.entry is not None:
            return found.entry, "exact"
        if found.alone:
            return None, "late"
        leads = found.leader == reply.reply  # it did when somebody held it before: who waits, waits for it
        if found.leader is None:
            vector = await asyncio.to_thread(vector_of, asked.question) if asked.near else None
            near, leads = await run_db(_look_near_or_lead, asked, reply.reply, vector)
            if near is not None:
                return near, "near"
        if not leads:
            found, leads = await self.join(asked, reply.reply)
        if leads:
            reply.shared = asked
            self._led.setdefault(asked.key, asyncio.Event())
        if found.entry is None:
            return None, "miss" if leads else "late"
        return found.entry, "joined"

    async def join(self, asked: Asked, reply: UUID) -> tuple[Seen, bool]:
        """Wait for the answer that another reply is being made for, however long that lives; and whether ``reply`` has
        to make it after all, because that one ended without. Neither, where what it said is for nobody else, or where
        one after another ends without and that has taken RESPONSE_CACHE_WAIT_SECONDS."""
        loop = asyncio.get_running_loop()
        until = loop.time() + settings.RESPONSE_CACHE_WAIT_SECONDS
        leader: UUID | None = None  # the last that was waited for
        while True:
            seen = await self._look(asked.key)
            if seen.entry is not None or seen.alone:
                return seen, False
            if seen.leader is None and await run_db(entries.lead, asked, reply):
                return seen, True
            if leader is not None and seen.leader != leader and loop.time() > until:
                return seen, False
            leader = seen.leader or leader

    async def _look(self, key: str) -> Seen:
        look = self.looks.get(key)
        if look is None:
            look = self.looks[key] = asyncio.create_task(self._look_soon(key))
        return await asyncio.shield(look)

    async def _look_soon(self, key: str) -> Seen:
        try:
            event = self._led.get(key)
            if event is None:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await event.wait()
            return await run_db(entries.look, key)
        finally:
            # Here and not when it is told of: whoever joins in between would find a look that is over, wait for nothing
            # and look again, for ever.
            del self.looks[key]

    async def _again(self, reply: LiveReply, entry: Entry, rules: RuleSet) -> Ending | None:
        """``entry`` as the ending of ``reply``; ``None`` where moderators have made a rule since that it breaks."""
        if rules.for_output and await asyncio.to_thread(rules.strongest, entry.text, OUTPUT) is not None:
            await run_db(entries.throw_out, entry.key)
            return None
        reply.text, reply.model, reply.first_token_at = entry.text, entry.model, timezone.now()
        return Ending(
            "completed",
            entry.text,
            model=entry.model,
            finish_reason="stop",
            first_token_at=reply.first_token_at,
            source=entry.source,
            citations=entry.citations,
            cached_at=entry.answered_at,
            cache_key=entry.key,
        )


def _look(reply: LiveReply, seen: str) -> tuple[Asked, Seen]:
    """The reply's question, and what there is for it."""
    language = detect_language(reply.work.turns[-1].text, among=LANGUAGES, default="")
    asked = asked_of(reply.work, seen=seen, sources=reply.sources, language=language)
    return asked, entries.look(asked.key)


def _look_near_or_lead(asked: Asked, reply: UUID, vector: str | None) -> tuple[Entry | None, bool]:
    """The answer to a question that means the same, or else whether the reply has to be made for all."""
    near = None if vector is None else entries.look_near(asked, vector)
    return near, near is None and entries.lead(asked, reply, vector)
