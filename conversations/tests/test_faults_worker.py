"""Reply workers that are killed, paused or told to go, in the middle of what they stream."""

import signal
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from django.db import connection

from chatbot_project.lib.db import run_db
from conversations.models import Message
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Gate, Script

from .checker import Crowd
from .client import ChatClient
from .fault_stack import ORPHANS_SPARED_SECONDS, FaultStack, Process, eventually, wait_exit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CROWD = 24
SETTLED_SECONDS = 15


@pytest.fixture
def gate(fake_model: FakeModelServer) -> Iterator[Gate]:
    """Every reply says its question, as many tokens of it as are let through; in the end nothing is held back."""
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    yield gate
    gate.release()


async def the_database_is_old_enough() -> None:
    """Just after the database itself came back no reply counts as given up."""

    def old() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT now() > pg_postmaster_start_time() + make_interval(secs => %s)", [ORPHANS_SPARED_SECONDS]
            )
            return bool(cursor.fetchone()[0])

    await eventually(lambda: run_db(old), "the database to be old enough")


async def rows(crowd: Crowd) -> dict[UUID, Message]:
    return await run_db(Message.objects.in_bulk, [UUID(talk.reply) for talk in crowd.talks])


async def busiest(stack: FaultStack, crowd: Crowd) -> Process:
    """The worker that holds the most replies of the crowd."""
    names = [row.worker for row in (await rows(crowd)).values()]
    return stack.worker_called(max(set(names), key=names.count))


async def all_rows(crowd: Crowd, holds: Callable[[Message], bool], what: str) -> None:
    async def held() -> bool:
        return all(holds(row) for row in (await rows(crowd)).values())

    await eventually(held, what)


async def test_killed_in_mid_stream_what_was_shown_is_kept_as_interrupted_and_can_go_on(
    stack: FaultStack, gate: Gate
) -> None:
    await the_database_is_old_enough()
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(12)
        await crowd.show(12)
        killed = await busiest(stack, crowd)
        held = [t for t in crowd.talks if (await rows(crowd))[UUID(t.reply)].worker in killed.output()]
        killed.kill()
        at = time.monotonic()
        for talk in held:
            await talk.ended(SETTLED_SECONDS)
        print(f"{len(held)} replies interrupted {time.monotonic() - at:.1f} s after their worker was killed")
        gate.release()
        await crowd.end()
        counts = await crowd.check("completed", "interrupted")
        assert counts["interrupted"] == len(held) > 0
        for talk in held:
            row = (await rows(crowd))[UUID(talk.reply)]
            assert (row.error_code, row.text) == ("worker_lost", talk.first(12))
        for talk in held[:3]:
            await talk.client.command("reply.continue", reply=talk.reply)
            await talk.ended()
        assert (await crowd.check("completed", "interrupted", "continued"))["continued"] == len(held[:3])


async def test_claimed_but_nothing_shown_is_answered_by_a_worker_that_comes_later(
    stack: FaultStack, gate: Gate
) -> None:
    await the_database_is_old_enough()
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        await all_rows(crowd, lambda row: row.status == "streaming", "all to be claimed")
        for worker in stack.workers:
            worker.kill()
        at = time.monotonic()
        gate.release()
        await stack.start_worker()
        await crowd.end()
        print(f"{CROWD} replies answered {time.monotonic() - at:.1f} s after all workers were killed")
        assert await crowd.check() == {"completed": CROWD}
        assert all(row.epoch > 1 for row in (await rows(crowd)).values())


async def test_killed_with_all_others_a_reply_ends_when_a_worker_comes_back(stack: FaultStack, gate: Gate) -> None:
    await the_database_is_old_enough()
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(5)
        await crowd.show(5)
        for worker in stack.workers:
            worker.kill()
        await stack.start_worker()
        await crowd.end(SETTLED_SECONDS)
        assert await crowd.check("interrupted") == {"interrupted": CROWD}
        assert [talk.seen.text for talk in crowd.talks] == [talk.first(5) for talk in crowd.talks]


async def test_paused_past_its_lease_a_worker_changes_nothing_any_more(stack: FaultStack, gate: Gate) -> None:
    await the_database_is_old_enough()
    stack.workers.pop().kill()
    [paused] = stack.workers
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        paused.signal(signal.SIGSTOP)
        gate.release()  # all the rest now waits in the paused worker's sockets
        await stack.start_worker()
        await crowd.end(SETTLED_SECONDS)
        before = {pk: (row.status, row.epoch, row.text) for pk, row in (await rows(crowd)).items()}
        heard = [len(talk.client.heard) for talk in crowd.talks]
        assert await crowd.check("interrupted") == {"interrupted": CROWD}
        stack.workers[-1].kill()
        paused.signal(signal.SIGCONT)
        # It is awake for good, and has had its say, when it answers a new question after all the old ones.
        async with Crowd(stack.urls, 1) as fresh:
            await fresh.ask()
            await fresh.end()
            await fresh.check()
        assert await wait_exit_after_term(paused) == 0
        assert {pk: (row.status, row.epoch, row.text) for pk, row in (await rows(crowd)).items()} == before
        for talk, count in zip(crowd.talks, heard, strict=True):
            assert [e["type"] for e in talk.client.heard[count:] if e["type"].startswith("reply.")] == []
        async with ChatClient(stack.url, crowd.talks[0].client.key) as tab:
            await tab.follow(crowd.talks[0].conversation)
            assert tab.replies[crowd.talks[0].reply].text == crowd.talks[0].seen.text


async def test_paused_before_its_first_token_its_text_never_mixes_with_that_of_the_worker_that_took_over(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    await the_database_is_old_enough()
    stack.workers.pop().kill()
    [paused] = stack.workers
    late, gate = fake_model.hold(), fake_model.hold()
    fake_model.default = Script(tokens=[f"late{n} " for n in range(40)], gate=late)
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        await all_rows(crowd, lambda row: row.status == "streaming", "all to be claimed")
        fake_model.wait_requests(CROWD)
        paused.signal(signal.SIGSTOP)
        late.release()
        fake_model.default = Script(echo=True, gate=gate)
        gate.release(4)
        await stack.start_worker()
        await crowd.show(4)
        paused.signal(signal.SIGCONT)
        paused.signal(signal.SIGTERM)
        gate.release(4)
        await wait_exit(paused)
        await crowd.show(8)
        gate.release()
        await crowd.end()
        assert await crowd.check() == {"completed": CROWD}
        assert not any("late" in event.get("text", "") for talk in crowd.talks for event in talk.client.heard)


async def wait_exit_after_term(process: Process) -> int:
    process.signal(signal.SIGTERM)
    return await wait_exit(process)


async def test_told_to_go_a_worker_finishes_what_it_holds_and_takes_nothing_new(stack: FaultStack, gate: Gate) -> None:
    async with Crowd(stack.urls, CROWD) as crowd, Crowd(stack.urls, 4) as later:
        await crowd.ask()
        gate.release(5)
        await crowd.show(5)
        going = await busiest(stack, crowd)
        going.signal(signal.SIGTERM)
        await later.ask()
        gate.release()
        assert await wait_exit(going) == 0
        await crowd.end()
        await later.end()
        assert await crowd.check() == {"completed": CROWD}
        assert await later.check() == {"completed": 4}
        assert all(row.epoch == 1 for row in (await rows(crowd)).values()), "nothing changed hands"
        assert all(row.worker not in going.output() for row in (await rows(later)).values())


async def test_told_to_go_in_long_replies_a_worker_hands_them_over_and_another_goes_on(
    stack: FaultStack, gate: Gate
) -> None:
    stack.workers.pop().kill()
    [going] = stack.workers
    async with Crowd(stack.urls, CROWD) as crowd:
        await crowd.ask()
        gate.release(7)
        await crowd.show(7)
        going.signal(signal.SIGTERM)
        at = time.monotonic()
        assert await wait_exit(going) == 0
        print(f"{CROWD} replies handed over in {time.monotonic() - at:.1f} s")
        await all_rows(crowd, lambda row: row.status == "queued" and row.text != "", "all to wait again")
        gate.release()
        await stack.start_worker()
        await crowd.end()
        assert await crowd.check("continued") == {"continued": CROWD}
        assert all(talk.seen.text.startswith(talk.first(7)) for talk in crowd.talks)
