"""Web processes that are told to go or killed under streaming sockets: the tabs go elsewhere and lack nothing."""

import asyncio
import signal
import socket
import time
from typing import Any

import pytest

from conversations.events import CLOSE_GOING_AWAY
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .checker import Crowd
from .fault_stack import FaultStack, wait_exit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CROWD = 50
STAYING = 25
CLOSED_ABNORMALLY = 1006


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def begun_anew(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Snapshots that replace what a tab had, though its epoch is still the one it began with."""
    return [event for event in heard if event["type"] == "reply.snapshot" and event["epoch"] == 1]


async def test_told_to_go_every_tab_is_told_closed_with_a_code_and_goes_on_elsewhere(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls[:1], CROWD, stay=STAYING) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        heard = [len(talk.client.heard) for talk in crowd.talks]
        for talk in crowd.talks:
            talk.client.leave_for(stack.urls[1:])
        stack.web[0].signal(signal.SIGTERM)
        at = time.monotonic()
        await asyncio.gather(*(t.client.until(lambda c=t.client: c.drains, "server.draining") for t in crowd.talks))
        assert refuses_connections(stack.ports[0])
        gate.release(6)  # those that stay are still served, the others elsewhere
        await crowd.show(12)
        assert await wait_exit(stack.web[0], 30) == 0
        print(f"{CROWD} streaming sockets drained in {time.monotonic() - at:.1f} s")
        for talk in crowd.talks[:STAYING]:
            await talk.client.until(lambda c=talk.client: c.connected == 2, "a connection elsewhere")
            assert talk.client.closes == [CLOSE_GOING_AWAY]
        gate.release()
        await crowd.end()
        assert await crowd.check() == {"completed": CROWD}
        assert all(talk.client.connected == 2 for talk in crowd.talks)
        for talk, before in zip(crowd.talks, heard, strict=True):
            assert begun_anew(talk.client.heard[before:]) == [], "resumed from seq"


async def test_killed_every_tab_goes_on_elsewhere_from_where_it_stood(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    gate = fake_model.hold()
    fake_model.default = Script(echo=True, gate=gate)
    async with Crowd(stack.urls[:1], CROWD) as crowd:
        await crowd.ask()
        gate.release(6)
        await crowd.show(6)
        heard = [len(talk.client.heard) for talk in crowd.talks]
        for talk in crowd.talks:
            talk.client.leave_for(stack.urls[1:])
        stack.web[0].kill()
        at = time.monotonic()
        gate.release(6)
        await crowd.show(12)
        print(f"all {CROWD} went on {time.monotonic() - at:.2f} s after the kill")
        gate.release()
        await crowd.end()
        assert await crowd.check() == {"completed": CROWD}
        assert [talk.client.closes for talk in crowd.talks] == [[CLOSED_ABNORMALLY]] * CROWD
        for talk, before in zip(crowd.talks, heard, strict=True):
            assert begun_anew(talk.client.heard[before:]) == [], "resumed from seq"


async def test_questions_sent_while_web_processes_are_killed_are_stored_once(
    stack: FaultStack, fake_model: FakeModelServer
) -> None:
    fake_model.default = Script(echo=True)
    async with Crowd(stack.urls, CROWD) as crowd:
        await asyncio.gather(*(talk.submit() for talk in crowd.talks))
        stack.web[0].kill()
        await crowd.accept()
        stack.web[0].start()
        await crowd.end()
        assert await crowd.check() == {"completed": CROWD}
