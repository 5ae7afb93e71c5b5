"""The page's scripts run by node, and the protocol's events to feed them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

RUNNER = Path(__file__).with_name("reducer.mjs")
CONVERSATION = "c0"


class Page:
    """The reducer with an empty state, following one conversation, as the page does."""

    def __init__(self, node: subprocess.Popen[str]) -> None:
        self._node = node
        self.shown: list[dict[str, Any]] = []
        self.info: dict[str, Any] | None = None
        self._tell(None)

    def _tell(self, event: dict[str, Any] | None) -> list[dict[str, Any]]:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(json.dumps(event) + "\n")
        self._node.stdin.flush()
        answer = json.loads(self._node.stdout.readline())
        self.shown, self.info = answer["shown"], answer["info"]
        commands: list[dict[str, Any]] = answer["commands"]
        return commands

    def take(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """The commands that the events led to."""
        return [command for event in events for command in self._tell(event)]

    def follow(self) -> Self:
        self.take({"type": "local.follow", "conversation": CONVERSATION})
        return self

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.shown]


@pytest.fixture(scope="module")
def node() -> Iterator[subprocess.Popen[str]]:
    command = ["node", "--no-warnings", str(RUNNER)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def page(node: subprocess.Popen[str]) -> Page:
    return Page(node).follow()


def info(revision: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": CONVERSATION, "title": "Title", "revision": revision, "deleted": False, "archived": False} | fields


def message(pk: str, parent: str | None, role: str, text: str = "", **fields: Any) -> dict[str, Any]:
    base = {"id": pk, "parent": parent, "role": role, "status": "sent" if role == "user" else "completed", "html": ""}
    return base | {"text": text, "epoch": 0, "seq": len(text), "siblings": [pk], "client_id": ""} | fields


def question(pk: str = "q1", parent: str | None = None, **fields: Any) -> dict[str, Any]:
    return message(pk, parent, "user", "Question", **fields)


def reply(pk: str = "r1", parent: str = "q1", **fields: Any) -> dict[str, Any]:
    return message(pk, parent, "assistant", **({"status": "queued"} | fields))


def accepted(revision: int, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The acknowledgement of a question of its own, or of another reply to one that is shown."""
    fields = {"client_id": "x", "conversation": info(revision), "message": asked | {"client_id": "x"}, "reply": answer}
    return {"type": "message.accepted"} | fields


def snapshot(revision: int, *messages: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"type": "conversation.snapshot", "conversation": info(revision), "messages": messages, "more": more}


def event(name: str, epoch: int, seq: int, pk: str = "r1", **fields: Any) -> dict[str, Any]:
    return {"type": f"reply.{name}", "conversation": CONVERSATION, "reply": pk, "epoch": epoch, "seq": seq} | fields


def delta(epoch: int, before: int, text: str, blocks: list[Any] | None = None) -> dict[str, Any]:
    return event("delta", epoch, before + len(text), text=text, blocks=blocks or [])


def updated(revision: int, client_id: str = "") -> dict[str, Any]:
    return {"type": "conversation.updated", "conversation": info(revision), "client_id": client_id}


def follows(commands: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [command["cursors"] for command in commands if command["type"] == "conversation.follow"]
