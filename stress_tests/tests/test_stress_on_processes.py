"""What stress commands do to sockets and conversations, done once to the product's own processes: nothing is timed."""

import asyncio
import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from conversations.tests.stack import Stack
from stress_tests import bench_load, long_conversation_test, websocket_test
from stress_tests.bench_cpu import Parts
from stress_tests.bench_load import Plan
from stress_tests.bench_seed import make
from stress_tests.fake_model import FakeModelServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PLAN = Plan(name="tiny", users=1, turns=3, think_s=0, spread_s=0, tokens=5, first_ms=50, token_ms=1)
FOLLOWED = replace(PLAN, first_ms=500)  # no reply ends before those who follow it have come
SOCKETS, SLOW = 6, 1
TIMED = {"pong, P95", "the last one is back", "memory of an idle socket", "memory of one of them"}
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Adapted:
    """The tests' stack, as stress tests see theirs."""

    def __init__(self, stack: Stack, cookies: list[str]) -> None:
        self._stack, self.cookies = stack, cookies
        self.web_ports, self.web_port = stack.ports, stack.ports[0]
        self.web_addresses = [("127.0.0.1", port) for port in stack.ports]
        self.web_address = self.web_addresses[0]

    def parts(self) -> Parts:
        others = dict.fromkeys(("celery", "postgres", "redis"), os.getpid())
        return Parts({"web": self._stack.web[0].pid, "worker": self._stack.workers[0].pid, **others})

    def check(self) -> None:
        for process in (*self._stack.web, *self._stack.workers):
            assert process.is_running, process.output()


@pytest.fixture(scope="module")
def processes(django_db_setup: None, fake_model_session: FakeModelServer) -> Iterator[Stack]:
    with Stack(fake_model_session.base_url, RATE_LIMIT_ASKS="off", TITLE_MODEL="off") as stack:
        yield stack


@pytest.fixture
def stack(transactional_db: None, processes: Stack, monkeypatch: pytest.MonkeyPatch) -> Adapted:
    monkeypatch.setattr(bench_load, "SETTLE_SECONDS", 0)
    processes.resume_workers()
    return Adapted(processes, make(SOCKETS + SLOW, {plan.persona: f"fake/{plan.model}" for plan in (PLAN, FOLLOWED)}))


@pytest.fixture
def run() -> Iterator[Run]:
    with warnings.catch_warnings(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run
        # As an error it would keep the loop from closing what a failed test left open, and that waits for it for ever.
        warnings.simplefilter("ignore", ResourceWarning)


def test_sockets_come_back_are_refused_and_leave_nothing_behind(stack: Adapted, run: Run) -> None:
    options = Namespace(
        sockets=SOCKETS, slow=SLOW, settle=0, seconds=0.5, ping_every=0.5, followers=2, storms=1, rounds=1,
    )  # fmt: skip
    found = run(websocket_test.strain(stack, FOLLOWED, options))
    assert {check.name: check.found for check in websocket_test.judged(found) if not check.passed}.keys() <= TIMED


def test_conversation_goes_on_from_block_to_block_and_new_ones_beside_it(stack: Adapted, run: Run) -> None:
    del stack.cookies[2:]
    blocks = run(long_conversation_test.talk(stack, PLAN, 2))
    assert [(block.last, block.turns, dict(block.faults)) for block in blocks] == [(3, 6, {}), (6, 6, {})]
    assert blocks[1].page_bytes > blocks[0].page_bytes
