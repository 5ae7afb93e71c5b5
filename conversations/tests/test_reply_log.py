"""From a growing text to events and back: whatever the pieces, what a follower puts together is the text."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib import markdown
from chatbot_project.lib.ids import uuid7
from chatbot_project.lib.redis import make_redis
from conversations import events
from conversations.replies.live import LiveReply, ending_event
from conversations.replies.log import (
    DELTA,
    END,
    START,
    Entry,
    LiveLog,
    followers_key,
    frames_behind,
    put_together,
    unpack_entries,
    web_channel,
)
from conversations.replies.queue import Ending

pieces = st.lists(st.sampled_from(["a", "Grü", "🌍", "\n", "\n\n", "# T\n", "```\n", "x = 1\n", "- i\n", "**b**", " "]))


def live(text: str = "", epoch: int = 1) -> LiveReply:
    work = Mock(models=["fake/echo"])
    claim = Mock(reply=uuid7(), conversation=uuid7(), epoch=epoch, text=text)
    return LiveReply.of(claim, work)


def raw(entries: list[Entry]) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The log as Redis gives it."""
    return [(f"{e.epoch}-{e.seq}".encode(), {b"f": e.frame}) for e in entries]


def spoken(reply: LiveReply, chunks: list[str]) -> list[Entry]:
    entries = [reply.take_entry()]
    for chunk in chunks:
        reply.text += chunk
        entries.append(reply.take_entry())
    return [entry for entry in entries if entry is not None]


@given(before=st.sampled_from(["", "Kept text.\n\n", "🌍"]), chunks=pieces)
def test_deltas_join_to_the_text_and_their_seq_counts_it(before: str, chunks: list[str]) -> None:
    reply = live(before)
    entries = spoken(reply, chunks)
    assert entries[0].kind == START
    assert all(entry.kind == DELTA for entry in entries[1:])
    text, seq, blocks = "", 0, []
    for entry in entries:
        event = json.loads(entry.frame)
        assert (entry.before, event["epoch"]) == (seq, 1) or entry.kind == START
        text += event.get("text", "")
        seq, blocks = event["seq"], blocks + event.get("blocks", [])
        assert seq == entry.seq == len(text)
    assert text == reply.text
    assert [block["end"] for block in blocks] == sorted({block["end"] for block in blocks})
    assert blocks == [{"end": b.end, "html": b.html} for b in markdown.finished_blocks(text, 0)][: len(blocks)]
    logged = put_together(raw(entries))
    assert logged
    assert (logged.epoch, logged.text, len(logged.blocks)) == (1, reply.text, len(blocks))


@given(chunks=pieces, place=st.integers(0, 30))
def test_a_cursor_in_the_log_lacks_exactly_what_stands_behind_it(chunks: list[str], place: int) -> None:
    entries = spoken(live(), chunks)
    at = entries[place % len(entries)]
    behind = frames_behind(raw(entries[entries.index(at) :]), (at.epoch, at.seq))
    assert behind
    assert behind.frames == [entry.frame for entry in entries[entries.index(at) + 1 :]]
    assert behind.cursor == (entries[-1].epoch, entries[-1].seq)


@pytest.mark.parametrize("cursor", [(0, 0), (1, 2), (2, 3), (1, -1), (2**63, 0), (1, 2**63), (-1, 3)])
def test_a_cursor_that_is_none_of_the_logs_entries_is_not_continued(cursor: tuple[int, int]) -> None:
    entries = spoken(live(), ["abc", "def"])
    assert frames_behind(raw(entries), cursor) is None
    assert frames_behind([], cursor) is None
    assert put_together([]) is None


def test_a_log_that_ended_gives_what_was_said_and_then_the_ending() -> None:
    entries = spoken(live(), ["abc", "def"])
    ended = [*raw(entries), (b"1-7", {b"e": b"ENDING"})]
    assert put_together(ended) == (1, "abcdef", [], b"ENDING")
    assert put_together(raw(entries)) == (1, "abcdef", [], None)
    behind = frames_behind(ended[1:], (1, 3))
    assert behind == ([entries[2].frame], (1, 6), b"ENDING")
    assert frames_behind(ended[2:], (1, 6)) == ([], (1, 6), b"ENDING")
    assert frames_behind(ended[3:], (1, 7)) is None


def test_of_several_endings_the_last_counts() -> None:
    entries = spoken(live(), ["abc"])
    ended = [*raw(entries), (b"1-4", {b"e": b"FIRST"}), (b"3-4", {b"e": b"LAST"})]
    assert put_together(ended) == (1, "abc", [], b"LAST")
    assert frames_behind(ended, (1, 0)) == ([entries[1].frame], (1, 3), b"LAST")
    assert put_together(ended[2:]) is None


def test_nothing_new_is_nothing_to_send() -> None:
    reply = live()
    assert reply.take_entry()
    assert reply.take_entry() is None


def test_a_log_that_begins_anew_begins_with_the_whole_text() -> None:
    reply = live()
    spoken(reply, ["Hello ", "you"])
    reply.restart_log(4)
    entry = reply.take_entry()
    assert entry
    event = json.loads(entry.frame)
    assert (entry.kind, event["type"], event["epoch"], event["text"]) == (START, "reply.snapshot", 4, "Hello you")


def test_a_checkpoint_has_the_text_only_where_it_is_new() -> None:
    reply = live("kept")
    assert reply.checkpoint().text is None
    reply.text += " more"
    assert reply.checkpoint().text == "kept more"


@pytest.mark.parametrize("status", ["completed", "stopped", "interrupted", "failed"])
def test_every_ending_is_an_event_with_the_whole_text_and_its_html(status: str) -> None:
    ending = Ending(status, "**Hi** <script>", prompt_tokens=3, completion_tokens=4, usage_estimated=True, code="x")
    event = ending_event(uuid4(), uuid4(), 2, ending)
    assert json.loads(events.encode(event))["type"] == f"reply.{status}"
    assert event.seq == len(event.text) == 15
    assert "<strong>Hi</strong>" in event.html
    assert "<script>" not in event.html
    assert event.usage == events.UsageInfo(3, 4, True)
    assert ending_event(uuid4(), uuid4(), 2, Ending(status, "")).usage is None


async def test_what_is_published_is_what_followers_unpack() -> None:
    published: list[Any] = []

    class Redis:
        def register_script(self, script: str) -> Any:
            return script

    log = LiveLog.__new__(LiveLog)

    async def append(args: list[Any]) -> list[int]:
        _batch, for_the_unheard, *mail = args
        assert unpack_entries(for_the_unheard) == [end]
        published.extend(mail)
        return [1]

    log._client, log._append = Redis(), append
    reply = live()
    entries = spoken(reply, ["a", "b"])
    end = reply.ending_entry(Ending("completed", "ab"))
    lost = await log.append([(entries[0], {"w1"}), (entries[1], {"w1", "w2"}), (end, {"w2"})])
    assert lost == [reply.reply]
    mail = dict(zip(published[::2], published[1::2], strict=True))
    assert unpack_entries(mail["nono:web:w1"]) == entries[:2]
    assert unpack_entries(mail["nono:web:w2"]) == [entries[1], end]
    assert end.kind == END


@pytest.mark.parametrize(("kept", "first"), [("", "reply.started"), ("Kept. ", "reply.snapshot")])
def test_what_was_said_before_the_log_began_is_its_second_entry(kept: str, first: str) -> None:
    reply = live(kept)
    reply.text += "At once."
    entries = list(iter(reply.take_entry, None))
    heard = [json.loads(entry.frame) for entry in entries]
    assert [(event["type"], event["seq"], event.get("text", "")) for event in heard] == [
        (first, len(kept), kept),
        ("reply.delta", len(kept) + 8, "At once."),
    ]
    assert [(entry.kind, entry.before) for entry in entries] == [(START, 0), (DELTA, len(kept))]


async def test_whoever_began_to_follow_unheard_is_sent_the_ending_once() -> None:
    """A reply may be over before its worker has heard who follows it, and their look at the log, too."""
    client, reader, reply = make_redis(), make_redis(timeout=None), live()
    pubsub, heard = reader.pubsub(), dict[str, list[int]]()
    try:
        await pubsub.subscribe(web_channel("late"), web_channel("known"))
        await client.sadd(followers_key(reply.reply), "late", "known")
        log = LiveLog(client)
        await log.append([(entry, {"known"}) for entry in spoken(reply, ["Hi"])])
        await log.append([(Entry(reply.reply, 1, 2, 2, END, b"{}"), {"known"})])
        async with asyncio.timeout(5):
            while sum(map(len, heard.values())) < 4:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.05)
                if message is not None:
                    kinds = [entry.kind for entry in unpack_entries(message["data"])]
                    heard.setdefault(message["channel"].decode(), []).extend(kinds)
        assert await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1) is None
    finally:
        await pubsub.aclose()
        await reader.aclose()
        await client.aclose()
    assert heard == {web_channel("late"): [END], web_channel("known"): [START, DELTA, END]}
