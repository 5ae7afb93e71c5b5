"""Who the locust's people are and what they ask; how a reply's events are read. Pure: no locust, no product."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PEOPLE = "NONO_STRESS_PEOPLE"  # names a file that the command wrote
MOST_USERS, MOST_SECONDS = 1000, 900
PATIENCE_SECONDS = 20  # for an answer over HTTP, and for a whole turn over the socket
STOP_SECONDS = 60  # for people to finish at the end: a task waits for two answers at most, and tells of what hangs
ENDINGS = frozenset({"reply.completed", "reply.stopped", "reply.interrupted", "reply.failed"})


@dataclass(frozen=True)
class Person:
    """Somebody with an account: their session's key, an access token, and the persona that they talk to."""

    cookie: str
    token: str
    persona: str


def read_people() -> Iterator[Person]:
    """The people, over and over again. Raises LookupError where nobody said who they are."""
    path = os.environ.get(PEOPLE)
    if not path:
        raise LookupError(f"{PEOPLE} names no file of people: run python -m stress_tests.locust, which makes one")
    return itertools.cycle([Person(**each) for each in json.loads(Path(path).read_text())])


def question(number: int) -> str:
    return f"Question {number}: what comes after {number * 7}, and why does it come there?"


def refusal_of(options: Any) -> str:
    """Why these options of locust are refused, or nothing: load is bounded, and its own page is for this machine."""
    if (options.num_users or 0) > MOST_USERS:
        return f"at most {MOST_USERS} users"
    if options.headless and not options.run_time:
        return "without its page it needs an end: --run-time"
    if (options.run_time or 0) > MOST_SECONDS:
        return f"at most {MOST_SECONDS} s"
    if not options.headless and options.web_host not in ("127.0.0.1", "localhost", "::1"):
        return "its page is for this machine: --web-host 127.0.0.1"
    return ""


class Turn:
    """One question over the socket: what has come of it, and whether the reply's text joins."""

    def __init__(self, client_id: str, clock: Callable[[], float]) -> None:
        self.client_id, self._clock = client_id, clock
        self._began = clock()
        self._length = 0
        self._text: list[str] = []
        self.conversation: str | None = None
        self.times: dict[str, float] = {}  # milliseconds until what happened: accepted, first text, ended
        self.fault = ""
        self.is_over = False

    def take(self, event: dict[str, Any]) -> None:
        """Another event of the socket; what is none of this turn's changes nothing."""
        kind = event["type"]
        if kind == "message.accepted" and event["client_id"] == self.client_id:
            self._note("accepted")
            self.conversation = event["conversation"]["id"]
        elif kind == "error" and event.get("client_id") in ("", self.client_id):
            self.end(f"error {event['code']}")
        elif kind in ("reply.delta", "reply.snapshot"):
            self._more(event)
        elif kind in ENDINGS:
            self._take_ending(kind, event)

    def end(self, fault: str = "") -> None:
        """It is over; what was wrong first stays its fault."""
        self._note("ended")
        self.fault, self.is_over = self.fault or fault, True

    def _more(self, event: dict[str, Any]) -> None:
        self._note_text(event)
        if event["type"] == "reply.snapshot":
            self._text, self._length = [], 0
        if event["seq"] - len(event["text"]) != self._length:
            self.fault = self.fault or "gap in the text"
        self._text.append(event["text"])
        self._length = event["seq"]

    def _take_ending(self, kind: str, event: dict[str, Any]) -> None:
        self._note_text(event)
        if kind != "reply.completed":
            self.end(f"{kind} {event['code']}".strip())
        elif not event["text"].startswith("".join(self._text)):
            self.end("ending unlike its deltas")
        else:
            self.end()

    def _note_text(self, event: dict[str, Any]) -> None:
        if event["text"] and "first text" not in self.times:
            self._note("first text")

    def _note(self, what: str) -> None:
        self.times[what] = 1000 * (self._clock() - self._began)
