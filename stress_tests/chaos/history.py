"""What a client has done and heard, a line each, appended as it happens; and what it makes of a reply's events.

A line is ``{"at": seconds, "what": "asked" | "sent" | "heard" | "opened" | "closed" | "refused" | "gave_up", …}``:
``asked`` has the ``command`` that the person gave, ``sent`` each sending of it, ``heard`` the ``event`` without its
HTML, ``opened`` the ``web`` process; ``gave_up`` stands before the close of a connection that kept silent. ``at`` is
``time.monotonic``.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDINGS = {
    "reply.completed": "completed",
    "reply.stopped": "stopped",
    "reply.interrupted": "interrupted",
    "reply.failed": "failed",
}
LIVE = ("queued", "streaming")
LEFT_OUT = ("html", "blocks", "usage", "citations", "offers", "siblings", "feedback", "feedback_comment")

Line = dict[str, Any]


class History:
    """One client's, append-only, in a file of its own; who wants to read along sets ``on_line``."""

    on_line: Callable[[Line], None] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def note(self, what: str, **fields: Any) -> None:
        line = {"at": round(time.monotonic(), 4), "what": what, **fields}
        self._file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        if self.on_line is not None:
            self.on_line(line)

    def heard(self, event: Mapping[str, Any]) -> None:
        self.note("heard", event=_trimmed(event))

    def close(self) -> None:
        self._file.close()


def _trimmed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _trimmed(each) for name, each in value.items() if name not in LEFT_OUT}
    return [_trimmed(each) for each in value] if isinstance(value, list) else value


def read_history(path: Path) -> Iterator[Line]:
    """The lines in order."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@dataclass(slots=True)
class Shown:
    """A reply as a client shows it. ``status`` is its ending, or empty while it is live."""

    epoch: int = 0
    text: str = ""
    status: str = ""

    def learn(self, message: Mapping[str, Any]) -> str:
        """Take it over from an acknowledgement or a conversation's snapshot; a live one's text comes as events. What is
        wrong with it, or nothing."""
        problem = ""
        if message["epoch"] < self.epoch:
            return ""
        if message["status"] not in LIVE:
            ended = (message["status"], message["text"])
            if message["epoch"] == self.epoch and self.status and ended != (self.status, self.text):
                problem = f"{message['status']} after it was {self.status} in the same epoch"
            self.epoch, self.text, self.status = message["epoch"], message["text"], message["status"]
        elif message["status"] == "queued":
            self.epoch, self.text, self.status = message["epoch"], message["text"], ""
        elif message["epoch"] > self.epoch:  # within one epoch nothing streams again after its end
            self.epoch, self.text, self.status = message["epoch"], "", ""
        return problem

    def take(self, event: Mapping[str, Any]) -> str:
        """Apply a ``reply.*`` event by the protocol's rules; what is wrong with it, or nothing."""
        kind, epoch = event["type"], event["epoch"]
        if kind == "reply.queued":
            return ""
        if epoch < self.epoch:
            return f"{kind} of epoch {epoch} after epoch {self.epoch}"
        if kind == "reply.delta":
            return self._append(event)
        if kind == "reply.started":
            self.epoch, self.text, self.status = epoch, "", ""
        elif kind == "reply.snapshot":
            return self._replace(event, "")
        elif kind in ENDINGS:
            return self._replace(event, ENDINGS[kind])
        return ""

    def _append(self, event: Mapping[str, Any]) -> str:
        if event["epoch"] != self.epoch:
            return f"a delta of epoch {event['epoch']} on a text of epoch {self.epoch}"
        if event["seq"] <= len(self.text):
            same = self.text[: event["seq"]].endswith(event["text"])
            return "" if same else "a delta unlike what was shown of the same epoch"
        if self.status:
            return "text after the ending"
        if event["seq"] - len(event["text"]) != len(self.text):
            return f"a gap: {len(self.text)} code points are shown, the delta leads to {event['seq']}"
        self.text += event["text"]
        return ""

    def _replace(self, event: Mapping[str, Any], status: str) -> str:
        problem = ""
        if event["seq"] != len(event["text"]):
            problem = f"seq {event['seq']} does not count a text of {len(event['text'])} code points"
        elif event["epoch"] == self.epoch and not self.status and not event["text"].startswith(self.text):
            problem = "a text of the same epoch that does not begin with what was shown"
        elif event["epoch"] == self.epoch and self.status and (status, event["text"]) != (self.status, self.text):
            problem = f"{event['type']} after it was {self.status}"
        self.epoch, self.text, self.status = event["epoch"], event["text"], status
        return problem
