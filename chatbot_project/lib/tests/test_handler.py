"""Requests over HTTP: one thread each, few at once, and a load balancer's question beside them."""

import asyncio
import threading
from typing import Any

import pytest
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from chatbot_project.lib.api.late import LateResponse
from chatbot_project.lib.handler import RequestHandler

pytestmark = pytest.mark.urls(__name__)

seen: list[str] = []
gate = threading.Event()


def marking(get_response: Any) -> Any:
    """A middleware that notes its thread."""

    def middleware(request: HttpRequest) -> HttpResponse:
        seen.append(threading.current_thread().name)
        return get_response(request)

    return middleware


def plain(request: HttpRequest) -> HttpResponse:
    seen.append(threading.current_thread().name)
    return HttpResponse("here")


def held(request: HttpRequest) -> HttpResponse:
    seen.append("held")
    gate.wait(20)
    return HttpResponse("let go")


def counting(request: HttpRequest) -> HttpResponse:
    connections["default"].ensure_connection()
    return HttpResponse("counted")


def late(request: HttpRequest) -> LateResponse:
    async def answer() -> HttpResponse:
        seen.append("waiting")
        try:
            await asyncio.sleep(30)
        finally:
            seen.append("left")
        return HttpResponse("late")

    connections["default"].ensure_connection()
    return LateResponse(answer)


def pieces(request: HttpRequest) -> StreamingHttpResponse:
    async def some() -> Any:
        yield b"one "
        yield b"two"

    return StreamingHttpResponse(some())


urlpatterns = [
    path("plain", plain),
    path("held", held),
    path("healthz", plain),
    path("readyz", held),
    path("status/", plain),
    path("counting", counting),
    path("late", late),
    path("pieces", pieces),
]


@pytest.fixture
def handler(settings: Any) -> RequestHandler:
    settings.MIDDLEWARE = [f"{__name__}.marking"]
    settings.REQUEST_THREADS = 2
    seen.clear()
    gate.clear()
    return RequestHandler()


async def ask(handler: RequestHandler, address: str, leave: asyncio.Event | None = None) -> tuple[int, bytes]:
    """Status and body of a GET; with ``leave`` the client goes once it is set."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": address,
        "raw_path": address.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    asked, sent = False, []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await (leave or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await handler(scope, receive, send)
    status = sent[0]["status"] if sent else 0
    return status, b"".join(message.get("body", b"") for message in sent)


def in_use() -> int:
    """How many of the pool's connections somebody holds; the test itself may hold one."""
    stats = connections["default"].pool.get_stats()
    return int(stats["pool_size"] - stats["pool_available"])


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_middleware_and_view_run_in_the_same_kept_thread(handler: RequestHandler) -> None:
    assert await ask(handler, "/plain") == (200, b"here")
    assert len(set(seen)) == 1
    assert seen[0].startswith("request")


async def test_probes_are_answered_while_every_thread_is_held(handler: RequestHandler) -> None:
    holding = [asyncio.create_task(ask(handler, "/held")) for _ in range(3)]
    try:
        await until(lambda: seen.count("held") == 2)
        assert await ask(handler, "/healthz") == (200, b"here")
        assert seen.count("held") == 2  # the third waits for a thread
    finally:
        gate.set()
    assert await asyncio.gather(*holding) == [(200, b"let go")] * 3


async def test_whoever_asks_for_what_takes_long_holds_up_no_other_probe(handler: RequestHandler) -> None:
    """`/readyz` waits for a model that hangs: were `/healthz` behind it, the process would be taken for dead."""
    holding = [asyncio.create_task(ask(handler, "/readyz")) for _ in range(5)]
    try:
        await until(lambda: handler.probing == 5)
        assert await ask(handler, "/healthz") == await ask(handler, "/status/") == (200, b"here")
    finally:
        gate.set()
    assert await asyncio.gather(*holding) == [(200, b"let go")] * 5
    assert (handler.probing, handler.under_way) == (0, 0)


@pytest.mark.django_db(transaction=True)
async def test_an_answer_gives_its_connection_back(handler: RequestHandler) -> None:
    before = in_use()
    assert await ask(handler, "/counting") == (200, b"counted")
    assert in_use() == before


@pytest.mark.django_db(transaction=True)
async def test_who_waits_for_a_late_answer_holds_no_connection_and_may_leave(handler: RequestHandler) -> None:
    leave, before = asyncio.Event(), in_use()
    asking = asyncio.create_task(ask(handler, "/late", leave))
    await until(lambda: "waiting" in seen)
    assert in_use() == before
    leave.set()
    assert await asking == (0, b"")
    assert seen[-1] == "left"


async def test_an_asynchronous_iterator_is_sent_piece_by_piece(handler: RequestHandler) -> None:
    assert await ask(handler, "/pieces") == (200, b"one two")
