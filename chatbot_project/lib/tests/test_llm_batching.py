"""Questions to one endpoint: alone while there is room, together once many come, and each with an answer of its own."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib.llm.batching import Batcher
from chatbot_project.lib.llm.client import JUDGING, LLMClient
from chatbot_project.lib.llm.errors import LLMCut, LLMMalformed, LLMRefused, LLMTimeout, LLMUnavailable
from chatbot_project.lib.llm.types import ChatMessage, ChatRequest
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .conftest import MODEL


class Endpoint:
    """Answers each number with its double, as slowly as the loop turns; what it was asked is in ``calls``."""

    def __init__(self, *, refuses: Sequence[int] = (), fails: bool = False, alone: bool = False) -> None:
        self.refuses, self.fails, self.alone = refuses, fails, alone
        self.calls: list[list[int]] = []
        self.at_once = self.most_at_once = 0

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.fails:
            raise LLMUnavailable("away")
        if set(items) & set(self.refuses):
            raise LLMRefused("no")
        if self.alone and len(items) > 1:
            raise LLMMalformed("one result")
        return [2 * item for item in items]


async def test_one_alone_is_asked_at_once() -> None:
    endpoint = Endpoint()
    assert await Batcher(endpoint, most=4, calls=1).ask(3) == 6
    assert endpoint.calls == [[3]]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_each_gets_its_own_answer_in_few_calls(number: int, most: int, calls: int) -> None:
    endpoint = Endpoint()

    async def ask_all() -> list[int]:
        batcher = Batcher(endpoint, most=most, calls=calls)
        return await asyncio.gather(*(batcher.ask(item) for item in range(number)))

    assert asyncio.run(ask_all()) == [2 * item for item in range(number)]
    assert endpoint.most_at_once <= calls
    assert all(len(items) <= most for items in endpoint.calls)
    assert len(endpoint.calls) <= min(calls, number) + -(-number // most)


async def test_what_is_refused_fails_alone() -> None:
    endpoint = Endpoint(refuses=[5])
    batcher = Batcher(endpoint, most=8, calls=1)
    answers = await asyncio.gather(*(batcher.ask(item) for item in range(9)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, LLMRefused)] == [0, 2, 4, 6, 8, 12, 14, 16]
    assert isinstance(answers[5], LLMRefused)


async def test_where_several_are_refused_nobody_waits_behind_one_that_nobody_asks_any_more() -> None:
    hung = asyncio.Event()

    async def endpoint(items: list[int]) -> list[int]:
        if len(items) > 1:
            raise LLMRefused("no")
        if items == [0]:
            hung.set()
            await asyncio.Event().wait()
        return items

    batcher = Batcher(endpoint, most=4, calls=1)
    batcher._calls = 0  # until all of them wait
    asked = [asyncio.create_task(batcher.ask(item)) for item in range(3)]
    await asyncio.sleep(0)
    batcher._calls = 1
    batcher._begin()
    await hung.wait()
    asked[0].cancel()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*asked[1:]) == [1, 2]


async def test_an_endpoint_that_takes_one_at_a_time_is_found_out_once() -> None:
    endpoint = Endpoint(alone=True)
    batcher = Batcher(endpoint, most=8, calls=1)
    assert await asyncio.gather(*(batcher.ask(item) for item in range(20))) == [2 * item for item in range(20)]
    assert sum(len(items) > 1 for items in endpoint.calls) == 1


async def test_one_that_fails_fails_all_that_went_together() -> None:
    endpoint = Endpoint(fails=True)
    batcher = Batcher(endpoint, most=8, calls=1)
    answers = await asyncio.gather(*(batcher.ask(item) for item in range(9)), return_exceptions=True)
    assert all(isinstance(answer, LLMUnavailable) for answer in answers)
    assert len(endpoint.calls) == 2


async def test_who_gives_up_is_not_asked_about_and_closing_leaves_nobody_waiting() -> None:
    endpoint = Endpoint()
    batcher = Batcher(endpoint, most=8, calls=1)
    asked = [asyncio.create_task(batcher.ask(item)) for item in range(4)]
    await asyncio.sleep(0)
    asked[2].cancel()
    assert await asyncio.gather(asked[0], asked[1], asked[3]) == [0, 2, 6]
    assert [2] not in endpoint.calls
    late = [asyncio.create_task(batcher.ask(item)) for item in range(9)]
    await asyncio.sleep(0)
    await batcher.close()
    answers = await asyncio.gather(*late, return_exceptions=True)
    assert all(isinstance(answer, LLMCut) for answer in answers)
    assert not endpoint.at_once or batcher._under_way == set()


async def test_texts_that_are_judged_at_once_go_together_and_each_gets_its_own_scores(
    client: LLMClient, fake_model: FakeModelServer
) -> None:
    texts = [f"violence=0.{number:02}" for number in range(1, 61)]
    found = await asyncio.gather(*(client.moderate(MODEL, text) for text in texts))
    assert [scores["violence"] for scores in found] == [number / 100 for number in range(1, 61)]
    sent = [request.body["input"] for request in fake_model.requests]
    assert sum(isinstance(given, str) for given in sent) == JUDGING
    assert sorted(len(given) for given in sent if isinstance(given, list)) == [4, 16, 16, 16]


async def test_a_text_that_is_judged_alone_is_sent_as_a_text(client: LLMClient, fake_model: FakeModelServer) -> None:
    await client.moderate(MODEL, "sexual=0.25")
    assert fake_model.requests[-1].body["input"] == "sexual=0.25"


async def test_too_few_scores_are_none(client: LLMClient, fake_model: FakeModelServer) -> None:
    fake_model.default = Script(html=True)
    with pytest.raises(LLMMalformed):
        await client.moderate(MODEL, "a")


async def test_who_asks_after_the_end_is_refused_and_nothing_is_called() -> None:
    endpoint = Endpoint()
    batcher = Batcher(endpoint, most=4, calls=1)
    await batcher.close()
    with pytest.raises(LLMCut):
        async with asyncio.timeout(1):
            await batcher.ask(3)
    assert endpoint.calls == []


class Hanging:
    """Never answers its first call, unless it is cancelled."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.cancelled = 0

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        if len(self.calls) == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return items


async def test_a_call_that_nobody_waits_for_any_more_gives_its_place_to_the_next() -> None:
    endpoint = Hanging()
    batcher = Batcher(endpoint, most=4, calls=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await batcher.ask(1)
    async with asyncio.timeout(5):
        assert await batcher.ask(2) == 2
    assert (endpoint.calls, endpoint.cancelled) == ([[1], [2]], 1)


async def test_a_call_goes_on_for_as_long_as_one_waits_for_it() -> None:
    endpoint = Hanging()
    batcher = Batcher(endpoint, most=4, calls=1)
    waiting = [asyncio.create_task(batcher.ask(0))]
    await asyncio.sleep(0)
    endpoint.calls.append([])  # what follows is answered
    waiting[0].cancel()
    both = [asyncio.create_task(batcher.ask(number)) for number in (1, 2)]
    async with asyncio.timeout(5):
        assert await asyncio.gather(*both) == [1, 2]


async def test_a_moderation_that_hangs_is_late_and_counts_against_its_endpoint_alone(
    make_client: Callable[..., AbstractAsyncContextManager[LLMClient]],
    fake_model: FakeModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(**_arguments: object) -> None:
        await asyncio.Event().wait()

    async with make_client(moderation=0.05) as client:
        monkeypatch.setattr(client._sdks["fake"].client.moderations, "create", hang)
        for _ in range(5):
            with pytest.raises(LLMTimeout):
                await client.moderate(MODEL, "a")
        assert client._judges_router.breaker("fake").state != "closed"
        assert client.resting() == []
        stream = await client.open_stream([MODEL], ChatRequest([ChatMessage("user", "Hello?")], max_tokens=5))
        await stream.close()
