"""More requests than threads: so many wait, and who comes after them is sent away at the door."""

import asyncio
import json
from typing import Any

import pytest

from chatbot_project.lib.crowds import BoundedCrowd
from chatbot_project.lib.handler import RequestHandler
from chatbot_project.lib.metrics.registry import REGISTRY

from .test_handler import ask, gate, handler, seen, until  # noqa: F401  a fixture, and what goes with it

pytestmark = pytest.mark.urls("chatbot_project.lib.tests.test_handler")


class Client:
    """Asks for ``/plain`` by hand and sends a body, if anybody receives it."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/plain",
            "headers": [(b"host", b"localhost"), *headers],
        }
        self.received = 0
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.received += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def refused() -> float:
    labels = {"route": "unmatched", "method": "POST", "status": "503"}
    return REGISTRY.get_sample_value("nono_http_requests_total", labels) or 0.0


async def test_who_comes_after_all_that_may_wait_is_answered_before_their_body_is_received(
    handler: RequestHandler,  # noqa: F811
) -> None:
    crowd = BoundedCrowd(handler, handler, 3, lambda refusal, _language: refusal().code.encode())
    before = refused()
    holding = [asyncio.create_task(ask(crowd, "/held")) for _ in range(3)]
    try:
        await until(lambda: handler.under_way == 3)
        program, browser = Client(), Client((b"accept", b"text/html"))
        for client in (program, browser):
            await crowd(client.scope, client.receive, client.send)
            assert client.received == 0
            start, _body = client.sent
            assert start["status"] == 503
            assert 5 <= int(dict(start["headers"])[b"retry-after"]) <= 10
        assert json.loads(program.sent[1]["body"])["code"] == "overloaded"
        assert browser.sent[1]["body"] == b"overloaded"
        assert await ask(crowd, "/healthz") == (200, b"here")
    finally:
        gate.set()
    assert await asyncio.gather(*holding) == [(200, b"let go")] * 3
    assert handler.under_way == 0
    assert refused() == before + 2
    assert await ask(crowd, "/plain") == (200, b"here")


@pytest.mark.django_db(transaction=True)
async def test_who_waits_for_a_late_answer_is_not_in_the_way(handler: RequestHandler) -> None:  # noqa: F811
    leave = asyncio.Event()
    crowd = BoundedCrowd(handler, handler, 1)
    late = asyncio.create_task(ask(crowd, "/late", leave))
    await until(lambda: "waiting" in seen)
    assert await ask(crowd, "/plain") == (200, b"here")
    leave.set()
    await late
