"""A few seconds of what stress_tests/chaos_test.py does for long: bad links and killed processes while people ask."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest

from chatbot_project.lib.db import run_db
from conversations.models import Message
from conversations.replies.prompt import CONTINUE
from stress_tests.chaos.checker import Told, check
from stress_tests.chaos.client import Client, Habits, Witness
from stress_tests.chaos.faults import spoil
from stress_tests.chaos.history import History, read_history
from stress_tests.chaos.proxy import Proxy, to_port
from stress_tests.chaos.schedule import schedule
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .checker import make_people
from .fault_stack import FaultStack

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

PEOPLE = 6
QUESTIONS = 30


def stored() -> list[dict[str, object]]:
    names = ["id", "conversation", "owner", "parent", "role", "status", "text", "client_id", "finish_reason"]
    rows = [dict(row) for row in Message.objects.order_by("id").values(*names, "finished_at")]
    return [
        {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
        | {"finished": row["finished_at"] is not None}
        for row in rows
    ]


async def test_bad_links_and_a_killed_process_lose_double_and_mix_nothing(
    stack: FaultStack, fake_model: FakeModelServer, tmp_path: Path
) -> None:
    fake_model.default = Script(echo=True, first_ms=20, token_ms=5)
    finished: dict[str, int] = {}
    fake_model.on_finished = lambda request: finished.update({str(request.messages[-1]["content"]): 1})
    people = await run_db(make_people, PEOPLE)
    witness, stop = Witness(), asyncio.Event()
    async with AsyncExitStack() as links:
        proxies = [await links.enter_async_context(Proxy(to_port(port))) for port in stack.ports]
        habits = Habits(think=0.1, stops=0.1, goes_on=0)
        clients = [
            Client(f"c{n}", key, [p.port for p in proxies], History(tmp_path / f"c{n}.jsonl"), witness, habits, seed=1)
            for n, (_person, key) in enumerate(people)
        ]
        lives = [asyncio.create_task(client.run(stop)) for client in clients]
        for fault in schedule(1, 6, ["browser>web"]):
            done = len(witness.completed)
            await asyncio.wait_for(witness.until(lambda done=done: len(witness.completed) > done), 30)
            spoil(proxies[fault.which % 2], fault)
            accepted = len(witness.accepted)
            await asyncio.wait_for(witness.until(lambda accepted=accepted: len(witness.accepted) > accepted), 30)
            proxies[fault.which % 2].heal()
        stack.workers[0].kill()
        await asyncio.wait_for(witness.until(lambda: len(witness.accepted) >= QUESTIONS), 60)
        stop.set()
        await asyncio.wait_for(asyncio.gather(*lives), 60)
    told = Told(
        histories={client.name: list(read_history(client.history.path)) for client in clients},
        owners={client.name: str(person.pk) for client, (person, _key) in zip(clients, people, strict=True)},
        rows=await run_db(stored),
        finished=finished,
        rest=f"echo: {CONTINUE}",
    )
    verdict = check(told)
    assert not verdict.violations, "\n".join(map(str, verdict.violations))
    assert verdict.counts["accepted"] == verdict.counts["stored"] >= QUESTIONS
