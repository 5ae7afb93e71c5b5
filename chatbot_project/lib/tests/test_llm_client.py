"""Retries, fallback and breaker over a real server, and what the SDK does: whole answers, vectors, lists."""

import asyncio

import pytest

from chatbot_project.lib.llm.errors import (
    LLMError,
    LLMMalformed,
    LLMRateLimited,
    LLMRefused,
    LLMTimeout,
    LLMTooLarge,
    LLMUnavailable,
)
from chatbot_project.lib.llm.ollama import pull_model
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.router import BreakerOpen
from chatbot_project.lib.llm.slots import NoSlot
from chatbot_project.lib.llm.types import Bounds
from stress_tests.fake_model import EMBEDDINGS, MODELS, Script, closed_port

from .conftest import MODEL, REQUEST


async def text_of(stream):
    text = ""
    while piece := await stream.read():
        text += piece
    await stream.close()
    return text


async def stream_text(client, *models):
    return await text_of(await client.open_stream(models, REQUEST))


@pytest.mark.parametrize(
    "fault",
    [
        Script(status=500), Script(status=429, retry_after="0"), Script(cut_after=0, cut="reset"), Script(html=True),
        Script(status=503, retry_after="0.01"), Script(malformed_after=0), Script(error_after=0),
    ],
)  # fmt: skip
async def test_a_passing_fault_before_the_first_text_is_tried_again(client, fake_model, fault):
    fake_model.enqueue(fault, Script(tokens=["ok"]))
    assert await stream_text(client, MODEL) == "ok"
    assert len(fake_model.requests) == 2


async def test_tries_are_capped(client, fake_model):
    fake_model.default = Script(status=500)
    with pytest.raises(LLMUnavailable):
        await client.open_stream([MODEL], REQUEST)
    assert len(fake_model.requests) == 3


async def test_a_retry_after_beyond_the_cap_is_not_slept_out(client, fake_model):
    fake_model.default = Script(status=429, retry_after="120")
    with pytest.raises(LLMRateLimited) as caught:
        await client.open_stream([MODEL], REQUEST)
    assert caught.value.retry_after == 120
    assert len(fake_model.requests) == 1


async def test_a_fallback_answers_where_the_first_model_cannot(client, fake_model):
    fake_model.enqueue(Script(status=401))
    stream = await client.open_stream(["dead/m", MODEL, "other/small"], REQUEST)
    assert stream.model == "other/small"
    assert fake_model.requests[1].headers["authorization"] != "Bearer key-of-fake"
    await text_of(stream)


async def test_nobody_listening_is_unavailable(client):
    with pytest.raises(LLMUnavailable):
        await client.open_stream(["dead/m"], REQUEST)
    with pytest.raises(LLMUnavailable):
        await client.complete(["dead/m"], REQUEST)


async def test_after_repeated_failures_a_provider_is_not_asked(resting_client, fake_model):
    fake_model.default = Script(status=500)
    for _ in range(2):
        with pytest.raises(LLMUnavailable):
            await resting_client.open_stream([MODEL], REQUEST)
    assert len(fake_model.requests) == 5
    with pytest.raises(BreakerOpen):
        await resting_client.open_stream([MODEL], REQUEST)
    assert len(fake_model.requests) == 5
    fake_model.default = Script(tokens=["ok"])
    assert await stream_text(resting_client, MODEL, "other/m") == "ok"


async def test_streams_that_break_off_count_against_the_provider(resting_client, fake_model):
    fake_model.default = Script(tokens=3, cut_after=1)
    streams = [await resting_client.open_stream([MODEL], REQUEST) for _ in range(5)]
    for stream in streams:
        with pytest.raises(LLMUnavailable):
            await text_of(stream)
        await stream.close()
    with pytest.raises(BreakerOpen):
        await resting_client.open_stream([MODEL], REQUEST)


async def test_a_fallback_waits_for_a_slot_of_its_provider_and_no_deadline_runs_meanwhile(make_client, fake_model):
    async with make_client(slots={"other": 1}, first_token=1) as client:
        first = await client.open_stream(["other/m"], REQUEST)
        waits = asyncio.create_task(client.open_stream(["dead/m", "other/m"], REQUEST))
        await asyncio.wait([waits], timeout=1.5)
        assert not waits.done()
        assert len(fake_model.requests) == 1
        await text_of(first)
        assert await text_of(await waits)


async def test_who_waits_for_a_slot_may_leave_and_takes_none(make_client):
    async with make_client(slots={"other": 1}) as client:
        first = await client.open_stream(["other/m"], REQUEST)
        waits = asyncio.create_task(client.open_stream(["other/m"], REQUEST))
        await asyncio.wait([waits], timeout=0.05)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        await first.close()
        async with asyncio.timeout(5):
            assert await stream_text(client, "other/m")


async def test_a_slot_is_waited_for_no_longer_than_a_reply_may_take_and_says_nothing_of_the_provider(make_client):
    async with make_client(slots={"other": 1}, total=1, breaker={"threshold": 2}) as client:
        first = await client.open_stream(["other/m"], REQUEST)
        for _ in range(2):
            with pytest.raises(NoSlot):
                await client.open_stream(["other/m"], REQUEST)
        await first.close()
        assert client.breaker_state("other") == "closed"
        assert await stream_text(client, "other/m")


async def test_a_try_that_fails_gives_its_slot_back(make_client, fake_model):
    fake_model.enqueue(Script(status=500), Script(cut_after=0), Script(status=401), Script(tokens=["ok"]))
    async with make_client(slots={"fake": 1}) as client, asyncio.timeout(5):
        with pytest.raises(LLMRefused):
            await client.open_stream([MODEL], REQUEST)
        assert await stream_text(client, MODEL) == "ok"


async def test_a_try_that_fails_keeps_its_place_before_those_who_wait(make_client, fake_model):
    fake_model.enqueue(Script(cut_after=0, first_ms=100), Script(status=500), Script(tokens=["ok"]))
    async with make_client(slots={"fake": 1}) as client, asyncio.timeout(5):
        first = asyncio.create_task(stream_text(client, "fake/first"))
        await asyncio.to_thread(fake_model.wait_requests, 1)
        assert await stream_text(client, "fake/second")
        assert await first == "ok"
    assert [request.model for request in fake_model.requests] == ["first", "first", "first", "second"]


async def test_a_short_rest_does_not_fail_all_who_wait_for_a_slot(make_client):
    async with make_client(slots={"other": 1}, patience=1.0) as client, asyncio.timeout(10):
        first = await client.open_stream(["other/m"], REQUEST)
        waits = [asyncio.create_task(stream_text(client, "other/m")) for _ in range(4)]
        await asyncio.wait(waits, timeout=0.05)
        for _ in range(5):
            client._router.breaker("other").failure()
        await first.close()
        assert all(await asyncio.gather(*waits))


async def test_who_waits_for_a_slot_has_sent_nothing_yet(make_client):
    sent = []
    async with make_client(slots={"other": 1}) as client, asyncio.timeout(5):
        first = await client.open_stream(["other/m"], REQUEST)
        waits = asyncio.create_task(client.open_stream(["other/m"], REQUEST, lambda: sent.append(1)))
        await asyncio.wait([waits], timeout=0.05)
        assert not sent
        await first.close()
        await (await waits).close()
        assert sent == [1]


async def test_a_whole_reply_by_the_sdk(client, fake_model):
    fake_model.enqueue(Script(echo=True))
    result = await client.complete([MODEL], REQUEST)
    assert (result.text, result.finish_reason, result.model) == ("echo: Hello there", "stop", MODEL)
    assert (result.usage.completion_tokens, result.usage.estimated) == (3, False)
    sent = fake_model.requests[0]
    assert sent.headers["authorization"] == "Bearer key-of-fake"
    assert not sent.body.get("stream")


async def test_a_whole_reply_without_usage_is_estimated(client, fake_model):
    fake_model.enqueue(Script(tokens=["x" * 40], usage=False))
    usage = (await client.complete([MODEL], REQUEST)).usage
    assert (usage.completion_tokens, usage.estimated) == (10, True)


async def test_a_whole_reply_is_cleaned_as_a_stream_is(client, fake_model):
    fake_model.enqueue(Script(tokens=["a\0b\ud800"]))
    assert (await client.complete([MODEL], REQUEST)).text == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(status=500), LLMUnavailable),
        (Script(status=429, retry_after="120"), LLMRateLimited),
        (Script(status=400), LLMRefused),
        (Script(status=307, location="http://127.0.0.1:1/"), LLMRefused),
        (Script(html=True), LLMMalformed),
        (Script(tokens=0), LLMMalformed),
        (Script(finish_reason=None), LLMMalformed),
        (Script(finish_reason=1), LLMMalformed),
        (Script(error={"message": "x"}), LLMMalformed),
    ],
)
async def test_a_whole_replys_faults_are_the_same_errors(make_client, fake_model, script, kind):
    fake_model.default = script
    async with make_client(attempts=1) as client:
        with pytest.raises(LLMError) as caught:
            await client.complete([MODEL], REQUEST)
    assert type(caught.value) is kind


async def test_a_whole_reply_is_tried_again_and_falls_back(client, fake_model):
    fake_model.enqueue(Script(status=500), Script(status=500), Script(status=500), Script(tokens=["ok"]))
    result = await client.complete([MODEL, "other/m"], REQUEST)
    assert (result.text, result.model) == ("ok", "other/m")


async def test_a_whole_reply_has_a_deadline_and_a_bound(make_client, fake_model):
    fake_model.enqueue(Script(first_ms=5000))
    async with make_client(total=0.1) as client:
        with pytest.raises(LLMTimeout):
            await client.complete([MODEL], REQUEST)
    fake_model.default = Script(tokens=["x" * 5000])
    async with make_client(bounds=Bounds(body=1000)) as client:
        with pytest.raises(LLMTooLarge):
            await client.complete([MODEL], REQUEST)


async def test_vectors_come_in_the_order_of_the_texts(client):
    one, two = await client.embed("fake/embed", ["one", "two"])
    assert len(one) == len(two) > 1
    assert one != two
    assert await client.embed("fake/embed", ["two"]) == [two]
    assert await client.embed("fake/embed", []) == []


async def test_vectors_that_cannot_be_used_are_malformed(make_client, fake_model):
    fake_model.enqueue(Script(html=True), path=EMBEDDINGS)
    async with make_client(attempts=1) as client:
        with pytest.raises(LLMMalformed):
            await client.embed("fake/embed", ["one"])


async def test_models_are_listed_and_providers_checked(client, fake_model):
    assert await client.list_models("fake") == ["fake", "fake-small"]
    await client.check("fake")
    with pytest.raises(LLMUnavailable):
        await client.check("dead")
    with pytest.raises(LLMRefused):
        await client.check("nobody")
    fake_model.enqueue(Script(status=401), path=MODELS)
    with pytest.raises(LLMRefused):
        await client.check("fake")


async def test_a_pull_reports_its_progress(fake_model):
    provider = Provider("ollama", fake_model.base_url)
    reports = [report async for report in pull_model(provider, "fake-pulled")]
    assert reports[-1].status == "success"
    assert [report.completed for report in reports if report.total] == [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000]


async def test_a_pull_that_fails_says_so(fake_model):
    with pytest.raises(LLMRefused, match="does not exist"):
        [report async for report in pull_model(Provider("ollama", fake_model.base_url), "absent")]
    with pytest.raises(LLMUnavailable):
        [report async for report in pull_model(Provider("ollama", f"http://127.0.0.1:{closed_port()}/v1"), "m")]


async def test_environment_proxies_are_not_used(fake_model, make_client, monkeypatch):
    proxy = f"http://127.0.0.1:{closed_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    async with make_client() as client:
        assert (await client.complete([MODEL], REQUEST)).text
        assert await stream_text(client, MODEL)


async def test_cancelling_a_whole_reply_ends_its_connection(client, fake_model):
    fake_model.enqueue(Script(first_ms=60_000))
    task = asyncio.ensure_future(client.complete([MODEL], REQUEST))
    await asyncio.to_thread(fake_model.wait_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(fake_model.wait_idle)
