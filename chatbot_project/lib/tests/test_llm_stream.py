"""Streams from a real server, healthy and broken in every way a server can break."""

import asyncio
import gc
import json
import resource
from contextlib import asynccontextmanager

import pytest

from chatbot_project.lib.llm.errors import (
    LLMCut,
    LLMError,
    LLMMalformed,
    LLMRefused,
    LLMTimeout,
    LLMTooLarge,
    LLMUnavailable,
)
from chatbot_project.lib.llm.stream import read_all
from chatbot_project.lib.llm.types import Bounds, ChatRequest
from stress_tests.fake_model import Script

from .conftest import MODEL, REQUEST


@asynccontextmanager
async def opened(client, request=REQUEST, models=(MODEL,)):
    stream = await client.open_stream(models, request)
    try:
        yield stream
    finally:
        await stream.close()


async def read_to_end(stream):
    """All the text, and the error it ended with or None."""
    text = ""
    try:
        while piece := await stream.read():
            text += piece
    except LLMError as error:
        return text, error
    return text, None


async def sweep_to_end(stream):
    """As ``read_to_end``, a tick at a time."""
    text = ""
    while True:
        for _, piece, error in await read_all([stream]):
            text += piece
            if error is not None or stream.ended:
                return text, error


READERS = [read_to_end, sweep_to_end]


@pytest.fixture(params=READERS, ids=["read", "read_all"])
def reader(request):
    return request.param


def raw(*events):
    return [event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]


def delta(content, finish_reason=None):
    return {"choices": [{"delta": {"content": content}, "finish_reason": finish_reason}]}


async def test_a_reply_arrives_whole_with_usage_and_finish_reason(client, fake_model, reader):
    fake_model.enqueue(Script(echo=True, token_ms=3))
    async with opened(client) as stream:
        assert await reader(stream) == ("echo: Hello there", None)
        assert stream.finish_reason == "stop"
        assert (stream.usage.completion_tokens, stream.usage.estimated) == (3, False)
        assert stream.model == MODEL
        assert await stream.read() == ""


async def test_request_carries_messages_options_and_sign_in(client, fake_model):
    request = ChatRequest(REQUEST.messages, temperature=0.3, max_tokens=77)
    async with opened(client, request) as stream:
        await read_to_end(stream)
    sent = fake_model.requests[0]
    assert sent.model == "fake"
    assert sent.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello there"},
    ]
    assert (sent.body["temperature"], sent.body["max_tokens"], sent.body["stream"]) == (0.3, 77, True)
    assert sent.headers["authorization"] == "Bearer key-of-fake"
    assert sent.headers["accept-encoding"] == "identity"


async def test_a_surrogate_in_a_message_is_sent_as_a_replacement(client, fake_model):
    request = ChatRequest([REQUEST.messages[0].__class__("user", "a\ud800b")])
    async with opened(client, request) as stream:
        await read_to_end(stream)
    assert fake_model.requests[0].messages[0]["content"] == "a\ufffdb"


async def test_one_read_gives_all_that_arrived_since_the_last(client, fake_model):
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["a", "b", "c", "d"], gate=gate))
    gate.release(1)
    async with opened(client) as stream:
        assert await stream.read() == "a"
        gate.release(3)
        text, error = await read_to_end(stream)
        assert (text, error) == ("bcd", None)


async def test_an_open_stream_has_its_first_text_and_waits_for_more(client, fake_model):
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["a", "b"], gate=gate))
    gate.release(1)
    async with opened(client) as stream:
        assert await stream.read() == "a"
        waiting = asyncio.ensure_future(stream.read())
        assert (await asyncio.wait([waiting], timeout=0.05))[0] == set()
        gate.release()
        assert await waiting == "b"


async def test_a_cancelled_read_loses_nothing(client, fake_model):
    gate = fake_model.hold()
    fake_model.enqueue(Script(tokens=["a", "b", "c"], gate=gate))
    gate.release(1)
    async with opened(client) as stream:
        await stream.read()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.read()
        gate.release()
        assert await read_to_end(stream) == ("bc", None)


async def test_connections_are_used_again_after_proper_ends(client, fake_model, reader):
    for _ in range(5):
        async with opened(client) as stream:
            await reader(stream)
    assert len(fake_model.connections) == 1


async def test_a_connection_whose_body_ended_unread_still_answers(client, fake_model, reader):
    fake_model.default = Script(tokens=["a", "b", "c"], done=False)
    for _ in range(3):
        async with asyncio.timeout(5), opened(client) as stream:
            assert await reader(stream) == ("abc", None)
    assert len(fake_model.connections) == 1


@pytest.mark.parametrize("cut", ["reset", "close"])
async def test_what_arrived_before_a_cut_that_nobody_waited_for_is_kept(client, fake_model, reader, cut):
    gate = fake_model.hold()
    gate.release(1)
    fake_model.enqueue(Script(tokens=["a", "b", "c", "d"], cut_after=3, cut=cut, gate=gate))
    async with opened(client) as stream:
        assert await stream.read() == "a"
        gate.release()
        async with asyncio.timeout(5):
            while stream._content.exception() is None:
                await asyncio.sleep(0.001)
        text, error = await reader(stream)
        assert text == "bc"
        assert isinstance(error, LLMCut)


@pytest.mark.parametrize("cut", ["reset", "close", "eof"])
async def test_a_cut_keeps_what_came_before_it_and_is_never_an_end(client, fake_model, reader, cut):
    fake_model.enqueue(Script(tokens=["a", "b", "c", "d"], cut_after=3, cut=cut))
    async with opened(client) as stream:
        text, error = await reader(stream)
        assert text == "abc"
        assert isinstance(error, LLMCut)
        assert error.code == "llm_cut"
        assert stream.finish_reason is None
        assert stream.usage.estimated
        with pytest.raises(LLMCut):
            await stream.read()


async def test_no_finish_reason_is_a_cut_even_after_done(client, fake_model, reader):
    fake_model.enqueue(Script(tokens=3, finish_reason=None))
    async with opened(client) as stream:
        text, error = await reader(stream)
        assert text == "tok0 tok1 tok2 "
        assert isinstance(error, LLMCut)


async def test_a_finish_reason_without_done_is_an_end(client, fake_model, reader):
    fake_model.enqueue(Script(tokens=["a"], done=False, usage=False))
    async with opened(client) as stream:
        assert await reader(stream) == ("a", None)
        assert stream.usage.estimated


async def test_a_body_that_never_ends_after_the_finish_reason_is_an_end(client, fake_model, reader, monkeypatch):
    monkeypatch.setattr("chatbot_project.lib.llm.stream.AFTER_FINISH", 0.05)
    last = {"choices": [{"delta": {"content": "b"}, "finish_reason": "length"}]}
    fake_model.enqueue(Script(raw=raw(delta("a"), last), done=False))
    async with opened(client) as stream:
        async with asyncio.timeout(5):
            assert await reader(stream) == ("ab", None)
        assert stream.finish_reason == "length"


@pytest.mark.parametrize("keep_alives_only", [False, True])
async def test_a_stall_ends_at_the_idle_deadline_whatever_keeps_the_line_alive(
    make_client, fake_model, reader, keep_alives_only
):
    fake_model.enqueue(Script(tokens=["a", "b"], stall_after=1, keep_alives_only=keep_alives_only))
    async with make_client(idle=0.15) as client, opened(client) as stream:
        async with asyncio.timeout(5):
            text, error = await reader(stream)
        assert text == "a"
        assert isinstance(error, LLMTimeout)
    await asyncio.to_thread(fake_model.wait_disconnected)


async def test_keep_alives_do_not_put_off_the_first_token_deadline(make_client, fake_model):
    fake_model.enqueue(Script(keep_alives_only=True, keep_alive_ms=5))
    async with make_client(first_token=1) as client:
        with pytest.raises(LLMTimeout):
            await client.open_stream([MODEL], REQUEST)
    await asyncio.to_thread(fake_model.wait_disconnected)
    assert len(fake_model.requests) == 1


async def test_the_total_deadline_ends_a_reply_that_goes_on_and_on(make_client, fake_model, reader):
    fake_model.enqueue(Script(tokens=10_000, token_ms=5))
    async with make_client(total=2) as client, opened(client) as stream:
        text, error = await reader(stream)
        assert text.startswith("tok0 ")
        assert isinstance(error, LLMTimeout)


async def test_a_slow_reader_is_not_the_models_fault(make_client, fake_model):
    fake_model.enqueue(Script(tokens=["a", "b", "c"], token_ms=5))
    async with make_client(idle=0.05) as client, opened(client) as stream:
        await asyncio.sleep(0.2)  # the reader's own delay is what is tested
        assert await read_to_end(stream) == ("abc", None)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(tokens=["a", "b"], malformed_after=1), LLMMalformed),
        (Script(tokens=["a", "b"], error_after=1), LLMUnavailable),
        (Script(raw=raw(delta("a"), b"<html>oops</html>\n\n")), LLMMalformed),
        (Script(raw=raw(delta("a"), b"event: error\ndata: oops\n\n")), LLMUnavailable),
    ],
)
async def test_a_fault_after_the_first_text_is_raised_after_that_text(client, fake_model, reader, script, kind):
    fake_model.enqueue(script)
    async with opened(client) as stream:
        text, error = await reader(stream)
        assert text == "a"
        assert type(error) is kind
    assert len(fake_model.requests) == 1


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(html=True), LLMMalformed),
        (Script(error={"message": "x", "code": 503}), LLMUnavailable),
        (Script(raw=[b"just text\n\n"]), LLMMalformed),
        (Script(raw=[]), LLMCut),
        (Script(tokens=0), LLMMalformed),
        (Script(tokens=0, finish_reason="content_filter"), LLMRefused),
        (Script(status=404, error={"code": "model_not_found"}), LLMRefused),
        (Script(status=307, location="http://127.0.0.1:1/"), LLMRefused),
        (Script(cut_after=0, cut="reset"), LLMCut),
        (Script(malformed_after=0), LLMMalformed),
    ],
)
async def test_a_fault_before_the_first_text_fails_the_opening(make_client, fake_model, script, kind):
    fake_model.default = script
    async with make_client(attempts=1) as client:
        with pytest.raises(LLMError) as caught:
            await client.open_stream([MODEL], REQUEST)
    assert type(caught.value) is kind


async def test_a_redirect_is_never_followed_with_the_key(client, fake_model):
    fake_model.enqueue(Script(status=307, location=f"{fake_model.base_url}/elsewhere"))
    with pytest.raises(LLMRefused):
        await client.open_stream([MODEL], REQUEST)
    assert [sent.path for sent in fake_model.requests] == ["/v1/chat/completions"]


def memory():
    """This process's peak, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_an_endless_line_is_given_up_early_and_in_little_memory(make_client, fake_model):
    size = 50 * 1024 * 1024
    fake_model.enqueue(Script(huge_line=size))
    gc.collect()
    before = memory()
    async with make_client(attempts=1) as client:
        with pytest.raises(LLMTooLarge):
            await client.open_stream([MODEL], REQUEST)
    await asyncio.to_thread(fake_model.wait_disconnected)
    assert fake_model.huge_bytes_sent < size / 2
    assert memory() - before < 30 * 1024 * 1024


async def test_a_reply_has_a_bound_and_its_text_up_to_there_is_given(make_client, fake_model, reader):
    fake_model.enqueue(Script(tokens=["123456789 "] * 50))
    async with make_client(bounds=Bounds(reply=105)) as client, opened(client) as stream:
        text, error = await reader(stream)
        assert isinstance(error, LLMTooLarge)
        assert text == "123456789 " * 10 + "12345"


async def test_what_follows_the_proper_end_in_one_piece_with_it_is_no_fault(client, fake_model, reader):
    whole = b"".join(raw(delta("Whole.", "stop"), b"data: [DONE]\n\n", b"data: {\n\n"))
    fake_model.enqueue(Script(raw=[whole]))
    async with opened(client) as stream:
        assert await reader(stream) == ("Whole.", None)
        assert stream.finish_reason == "stop"


async def test_an_unread_flood_is_held_back_and_then_read_whole(client, fake_model, reader):
    fake_model.enqueue(Script(tokens=["x" * 1000] * 900))
    async with opened(client) as stream:
        await asyncio.sleep(0.05)  # time for a flood to come, were it not held back
        text, error = await reader(stream)
        assert (len(text), error) == (900_000, None)


async def test_closing_in_the_middle_ends_the_connection(client, fake_model):
    fake_model.enqueue(Script(tokens=1000, token_ms=5))
    async with opened(client) as stream:
        await stream.read()
    await stream.close()
    await asyncio.to_thread(fake_model.wait_disconnected)


async def test_a_cancelled_reader_that_closes_ends_the_connection(client, fake_model):
    gate = fake_model.hold()
    gate.release(1)
    fake_model.enqueue(Script(tokens=["a", "b"], gate=gate))
    reading = asyncio.Event()

    async def relay():
        async with opened(client) as stream:
            await stream.read()
            reading.set()
            await stream.read()

    task = asyncio.ensure_future(relay())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(fake_model.wait_disconnected)


async def test_cancelling_the_opening_ends_the_connection(client, fake_model):
    fake_model.enqueue(Script(stall_after=0))
    task = asyncio.ensure_future(client.open_stream([MODEL], REQUEST))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(fake_model.wait_disconnected)


async def test_many_streams_are_read_in_one_sweep(client, fake_model):
    fake_model.default = Script(tokens=30, token_ms=2)
    streams = await asyncio.gather(*[client.open_stream([MODEL], REQUEST) for _ in range(50)])
    texts = dict.fromkeys(streams, "")
    live = set(streams)
    while live:
        for stream, text, error in await read_all(live):
            assert error is None
            texts[stream] += text
            if stream.ended:
                live.discard(stream)
    whole = "".join(f"tok{number} " for number in range(30))
    assert set(texts.values()) == {whole}
    for stream in streams:
        await stream.close()
