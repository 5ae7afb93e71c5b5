"""How a request over HTTP is answered: in one thread from its first middleware to its last, with one hop each way.

Django's own ASGI handler runs its chain in the event loop and goes to a thread and back for each signal and for each
middleware that has no asynchronous form, in a thread that it starts for that request: a dozen hops, most of what a
short request of ours would cost (ADR 10). All our views are synchronous; what waits long is a ``LateResponse`` or has
an asynchronous iterator, and is awaited in the event loop after the thread has given its connection back.
"""

import asyncio
from contextlib import suppress
from time import perf_counter
from typing import Any

import django
import structlog
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import connections
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from chatbot_project.lib.api.late import LateResponse
from chatbot_project.lib.bodies import LET_GO
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.threads import started

log = structlog.get_logger(__name__)

# What a load balancer asks must be answered while every other thread waits for a database that is away.
PROBES = ("/healthz", "/readyz", "/metrics", "/status/", "/status.json")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LEFT = 499  # counted for a client that left before its answer began


class _Exchange:
    """One request and its answer, for the metrics and the log; counted once."""

    def __init__(self, scope: Any) -> None:
        self._method, self._path = method_of(scope), scope["path"]
        self._began = perf_counter()
        self._counted = False
        self.route = "unmatched"

    def answered(self, status: int) -> None:
        if self._counted:
            return
        self._counted = True
        seconds = perf_counter() - self._began
        metrics.HTTP_REQUESTS.labels(self.route, self._method, str(status)).inc()
        metrics.HTTP_SECONDS.labels(self.route).observe(seconds)
        say = log.error if status >= 500 else log.warning if status >= 400 and status != _LEFT else log.debug
        request = f"{self._method} {self._path}"  # without what was asked for behind it
        say("request.answered", request=request, route=self.route, status=status, seconds=round(seconds, 3))


def method_of(scope: Any) -> str:
    """The request's method, of which there are few."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def route_of(request: HttpRequest) -> str:
    """The pattern of the address, of which there are as many as in the URL configuration."""
    if request.resolver_match is not None:
        return request.resolver_match.route or "/"
    return "static" if request.path.startswith(f"/{settings.STATIC_URL.strip('/')}/") else "unmatched"


class RequestHandler(ASGIHandler):
    """Django's ASGI application for HTTP, with the middlewares in their synchronous form."""

    def __init__(self) -> None:
        super(ASGIHandler, self).__init__()
        self.load_middleware(is_async=False)
        self._threads = started(settings.REQUEST_THREADS, "request")
        # Whoever asks the slow one as often as they like shall hold up none of the others.
        self._probe_threads = {"/healthz": started(1, "healthz"), "/readyz": started(1, "readyz")}
        self._other_probe_threads = started(2, "probe")
        for code in ("internal_error", "busy", "maintenance"):  # from 0: alerts see the first one as a rise
            metrics.ERRORS.labels("http", code)
        self.under_way = 0  # requests that wait for a thread or have one, probes apart
        self.probing = 0  # the same of probes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request. Who leaves meanwhile cancels what is awaited, not what a thread is doing."""
        if scope["type"] != "http":
            raise ValueError(f"This application answers HTTP, not {scope['type']}.")
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        exchange = _Exchange(scope)
        try:
            response = await self._in_thread(scope, body, exchange)
            body.close()  # an answer that takes longer needs it no more
            if let_go := scope.get(LET_GO):
                let_go()
            if is_made(response):
                exchange.answered(response.status_code)
                await self.send_response(response, send)
            else:
                async with ThreadSensitiveContext():
                    await self._send_late(response, receive, send, exchange)
                    await sync_to_async(response.close)()
        finally:
            exchange.answered(_LEFT)
            body.close()

    async def _in_thread(self, scope: Any, body: Any, exchange: _Exchange) -> Any:
        """What ``_respond`` gives, once a thread is free for it."""
        path = scope["path"]
        probes = int(path in PROBES)
        threads = self._probe_threads.get(path, self._other_probe_threads) if probes else self._threads
        self.under_way += 1 - probes
        self.probing += probes
        try:
            return await sync_to_async(self._respond, thread_sensitive=False, executor=threads)(scope, body, exchange)
        finally:
            self.under_way -= 1 - probes
            self.probing -= probes

    def _respond(self, scope: Any, body: Any, exchange: _Exchange) -> Any:
        """The whole of a request's work, in its thread. An answer that is made is closed as well, which ends the
        request for the database; of any other only the connection is given back."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refusal = self.create_request(scope, body)
        response: Any = refusal if request is None else self.get_response(request)
        if request is not None:
            exchange.route = route_of(request)
        response._handler_class = self.__class__  # who sends request_finished when it is closed
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        if is_made(response):
            response.close()
        else:
            connections.close_all()
        return response

    async def _send_late(self, response: HttpResponseBase, receive: Any, send: Any, exchange: _Exchange) -> None:
        """Await the answer and send it, until the client leaves."""
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        sending = asyncio.create_task(self._await_and_send(response, send, exchange))
        try:
            await asyncio.wait((leaving, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leaving, sending):
                task.cancel()
            with suppress(RequestAborted, asyncio.CancelledError):
                await leaving
            with suppress(asyncio.CancelledError):
                await sending

    async def _await_and_send(self, response: HttpResponseBase, send: Any, exchange: _Exchange) -> None:
        if isinstance(response, LateResponse):
            response = await response.answer()
        exchange.answered(response.status_code)
        await self.send_response(response, send)


def is_made(response: HttpResponseBase) -> bool:
    """Whether the whole answer is there, as bytes."""
    return isinstance(response, HttpResponse) and not isinstance(response, LateResponse)


def get_asgi_application() -> RequestHandler:
    """As Django's function of that name."""
    django.setup(set_prefix=False)
    return RequestHandler()
