"""What the page's scripts make of a stream whatever is lost, repeated or late on its way."""

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.tests.page_reducer import (
    Page,
    accepted,
    delta,
    event,
    follows,
    node,
    page,
    question,
    reply,
    snapshot,
)

__all__ = ["node", "page"]  # fixtures
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


# --- any interleaving -------------------------------------------------------------------------------------------------


class Reply:
    """The server's side of one reply: what it said in this epoch, and what a follower gets of it."""

    def __init__(self) -> None:
        self.epoch, self.status, self.base, self.said, self.code = 0, "queued", "", list[dict[str, Any]](), ""

    @property
    def text(self) -> str:
        return self.base + "".join(entry["text"] for entry in self.said)

    def start(self) -> list[dict[str, Any]]:
        self.epoch, self.base, self.status, self.said = self.epoch + 1, self.text, "streaming", []
        return [event("started", self.epoch, len(self.base))]

    def say(self, words: str) -> list[dict[str, Any]]:
        before = self.text
        blocks = []
        if "\n\n" in words:
            blocks = [{"end": len(before) + words.rindex("\n\n") + 2, "html": f"<p>{len(before)}</p>"}]
        self.said.append(delta(self.epoch, len(before), words, blocks))
        return [self.said[-1]]

    def end(self, status: str) -> list[dict[str, Any]]:
        self.status = status
        fields = {"text": self.text, "html": f"<p>{self.text}</p>", "code": "", "detail": "", "finish_reason": ""}
        return [event(status, self.epoch, len(self.text), **fields)]

    def info(self, checkpoint: int) -> dict[str, Any]:
        is_live = self.status in ("queued", "streaming")
        text = self.text[: max(checkpoint, len(self.base))] if self.status == "streaming" else self.text
        html = "" if is_live else f"<p>{self.text}</p>"
        return reply(status=self.status, epoch=self.epoch, text=text, html=html)

    def behind(self, cursor: list[int]) -> list[dict[str, Any]]:
        """What a follower at ``cursor`` is sent: what it misses, or a snapshot."""
        if self.status != "streaming":
            return []
        ends = [len(self.base), *(entry["seq"] for entry in self.said)]
        if cursor[0] == self.epoch and cursor[1] in ends:
            return [entry for entry in self.said if entry["seq"] > cursor[1]]
        if not self.text:
            return [event("started", self.epoch, 0)]
        blocks = [block for entry in self.said for block in entry["blocks"]]
        return [event("snapshot", self.epoch, len(self.text), text=self.text, blocks=blocks)]


steps = st.one_of(
    st.tuples(st.just("say"), st.text("a🌍é\n", min_size=1, max_size=6)),
    st.sampled_from([("start", ""), ("again", ""), ("interrupt", ""), ("continue", ""), ("complete", "")]),
    st.tuples(st.just("lose"), st.integers(1, 3)),
    st.tuples(st.just("reconnect"), st.integers(0, 10)),
    st.tuples(st.just("repeat"), st.integers(1, 4)),
)


@settings(max_examples=150, deadline=None)
@given(story=st.lists(steps, max_size=25))
def test_whatever_is_lost_or_repeated_the_page_ends_with_the_servers_text(
    node: subprocess.Popen[str], story: list[tuple[str, Any]]
) -> None:
    page, server = Page(node).follow(), Reply()
    history: list[dict[str, Any]] = []
    lose = 0

    def deliver(events: list[dict[str, Any]], checkpoint: int = 0) -> None:
        nonlocal lose
        for each in events:
            history.append(each)
            if lose > 0:
                lose -= 1
                continue
            answer(page.take(each), checkpoint)

    def answer(commands: list[dict[str, Any]], checkpoint: int) -> None:
        """As the server does: the snapshot, then what is live in it. Until nothing more is asked for."""
        for _round in range(10):
            cursors = follows(commands)
            if not cursors:
                return
            commands = page.take(snapshot(1, question(), server.info(checkpoint)))
            commands += page.take(*server.behind(cursors[-1].get("r1", [0, 0])))
        pytest.fail("the page and the server go round in circles")

    page.take(accepted(1, question(), server.info(0)))
    for step, value in story:
        is_streaming = server.status == "streaming"
        if step == "start" and server.status == "queued":
            deliver(server.start())
        elif step == "say" and is_streaming:
            deliver(server.say(value))
        elif step == "again" and is_streaming and not server.said:
            server.status = "queued"
            deliver([event("queued", server.epoch, len(server.text), position=1)])
        elif step == "interrupt" and is_streaming:
            deliver(server.end("interrupted"))
        elif step == "complete" and is_streaming:
            deliver(server.end("completed"))
        elif step == "continue" and server.status == "interrupted":
            server.status = "queued"
            answer(page.take(snapshot(1, question(), server.info(0))), 0)
        elif step == "lose":
            lose = value
        elif step == "repeat":
            for each in history[-value:]:
                answer(page.take(each), 0)
        elif step == "reconnect":
            lose = 0
            answer(page.take({"type": "ready", "protocol": 1}), value)
        check(page.shown[1], server)
    lose = 0
    if server.status == "streaming":
        deliver(server.say("the end"))  # what was lost before it shows itself by the gap
    else:
        answer(page.take({"type": "ready", "protocol": 1}), 0)

    shown = page.shown[1]
    check(shown, server)
    assert (shown["status"], shown["text"], shown["epoch"]) == (server.status, server.text, server.epoch)
    assert shown["html"] == server.info(0)["html"]


def check(shown: dict[str, Any], server: Reply) -> None:
    """At any time: never another text than the server's, and what is shown of it is whole."""
    if shown["epoch"] == server.epoch:
        assert server.text.startswith(shown["text"])
    assert shown["seq"] == len(shown["text"])
    if shown["status"] in ("queued", "streaming"):
        ends = [block["end"] for block in shown["blocks"]]
        assert ends == sorted(set(ends))
        assert shown["tail"] == shown["text"][ends[-1] if ends else 0 :]
