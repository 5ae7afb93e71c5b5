"""What the checks of one conformance run share: people, sockets, conversations, and how a check is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from .ws_conformance_client import Api, CannotRun, Failed, Json, Reply, Skipped, Tab

Outcome = Literal["pass", "fail", "skip"]
MAX_LONG_REPLIES = 4
LONG_QUESTION = (
    "Write the numbers from one to three hundred as words, separated by commas, without leaving any out. "
    + "Begin with: one, two, three, four, five, six, seven, eight, nine, ten. " * 4
)


@dataclass(frozen=True)
class Options:
    """``flood`` and ``wait`` allow what is rude or slow; ``persona`` is a slug, empty for the server's own choice."""

    persona: str = ""
    flood: bool = False
    wait: bool = True
    patience: float = 120.0
    reply_seconds: float = 120.0


@dataclass
class Result:
    """One check's outcome; ``reason`` says why it failed or was skipped."""

    name: str
    title: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Live:
    """A reply that streams, followed by the run's main socket."""

    conversation: str
    reply: str
    tab: Tab

    @property
    def state(self) -> Reply:
        """As the main socket holds it."""
        return self.tab.replies[self.reply]


@dataclass
class Run:
    """One run as one person. ``other`` is somebody else, where there is one."""

    api: Api
    options: Options
    other: Api | None = None
    why_no_other: str = ""
    first_ticket: Json = field(default_factory=dict)
    first_ticket_at: float = 0.0
    short: Json | None = None  # the acknowledgement of the short question, once its reply has ended
    stopped: Live | None = None
    tabs: list[Tab] = field(default_factory=list)
    strangers: list[Tab] = field(default_factory=list)  # sockets of the other person
    _told: list[Tab] = field(default_factory=list)
    _main: Tab | None = None
    _probe: Tab | None = None
    _live: Live | None = None
    _long_replies: int = 0
    _personas: list[str] | None = None

    async def tab(self, api: Api | None = None) -> Tab:
        """A new socket of the person's, or of ``api``'s."""
        tab = await (api or self.api).tab()
        self.tabs.append(tab)
        return tab

    async def main(self) -> Tab:
        """The socket that asks; opened anew where it was closed or has heard something wrong."""
        if self._main is None or self._main.is_closed:
            self._main = await self.tab()
        return self._main

    async def probe(self) -> Tab:
        """A second socket of the same person."""
        if self._probe is None or self._probe.is_closed:
            self._probe = await self.tab()
        return self._probe

    def persona(self) -> Json:
        """Fields of ``message.send`` that begin a conversation."""
        return {"persona": self.options.persona or None, "conversation": None}

    async def live(self) -> Live:
        """A reply that is streaming and has some text. Asks a long question where there is none, a few times a run and
        each time another persona, unless one was named. Raises Skipped where replies end before anything can be seen of
        them."""
        while self._live is None or self._live.state.ending or self._live.tab.is_closed:
            if self._long_replies == MAX_LONG_REPLIES:
                raise Skipped("no reply could be followed for long enough: choose a persona that answers at length")
            if not self.options.persona and self._personas is None:
                self._personas = await self.api.personas()
            tab, persona = await self.main(), self.persona()
            if self._personas:
                persona["persona"] = self._personas[self._long_replies % len(self._personas)]
            self._long_replies += 1
            accepted = await tab.accepted("message.send", text=LONG_QUESTION, **persona)
            live = Live(accepted["conversation"]["id"], accepted["reply"]["id"], tab)
            seconds = self.options.reply_seconds
            await tab.until(lambda live=live: live.state.text or live.state.ending, "the first text", seconds)  # type: ignore[misc]
            self._live = live
        return self._live

    def fault(self) -> Failed | None:
        """What some socket has heard that breaks the protocol, if one did; told once."""
        for tab in self.tabs:
            if tab.broken is not None and tab not in self._told:
                self._told.append(tab)
                return tab.broken
        return None

    def answered(self) -> Json:
        """The short question's acknowledgement. Raises Skipped where it was not answered."""
        if self.short is None:
            raise Skipped("the first question was not answered")
        return self.short

    def somebody_else(self) -> Api:
        """Another person. Raises Skipped where there is none."""
        if self.other is None:
            raise Skipped(self.why_no_other)
        return self.other

    async def close(self) -> None:
        """Leave every socket, and delete the conversations that were begun where the server lets one."""
        await asyncio.gather(*(tab.close() for tab in self.tabs))
        for conversation in self._begun():
            if not await self.api.delete(f"conversations/{conversation}"):
                break

    def _begun(self) -> list[str]:
        heard = [event for tab in self.tabs for event in tab.heard if event["type"] == "message.accepted"]
        return list(dict.fromkeys(event["conversation"]["id"] for event in heard))


Body = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """``name`` is stable and for programs, ``title`` says what holds."""

    name: str
    title: str
    body: Body

    async def run(self, run: Run) -> Result:
        """Never raises, except for a fault of the script's own."""
        began = time.monotonic()
        outcome: Outcome = "pass"
        reason, seconds = "", 60 + 2 * run.options.reply_seconds
        try:
            async with asyncio.timeout(seconds):
                await self.body(run)
        except Skipped as why:
            outcome, reason = "skip", str(why)
        except (Failed, CannotRun) as why:
            outcome, reason = "fail", str(why)
        except TimeoutError:
            outcome, reason = "fail", f"not done within {seconds:.0f} s"
        except (KeyError, TypeError, IndexError) as why:
            outcome, reason = "fail", f"an event lacks what the protocol says: {type(why).__name__} {why}"
        if fault := run.fault():
            outcome, reason = "fail", str(fault)
        return Result(self.name, self.title, outcome, reason, round(time.monotonic() - began, 3))


def collector(checks: list[Check]) -> Callable[[str, str], Callable[[Body], Body]]:
    """``@check(name, title)`` for a module's checks, kept in ``checks`` in the order in which they stand."""

    def check(name: str, title: str) -> Callable[[Body], Body]:
        def keep(body: Body) -> Body:
            checks.append(Check(name, title, body))
            return body

        return keep

    return check
