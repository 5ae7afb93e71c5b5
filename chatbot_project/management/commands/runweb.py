"""``manage.py runweb``: the web process (pages and WebSockets) under uvicorn, which drains before it ends."""

import asyncio
import contextlib
import signal
import socket
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import get_resolver

from chatbot_project.lib import descriptors, maintenance, threads, tracing
from chatbot_project.lib.collecting import keep_loaded
from chatbot_project.lib.frames import BoundedFrames
from chatbot_project.lib.loops import cancel_until_done
from chatbot_project.lib.metrics.serving import serve_metrics
from conversations.events import CLOSE_TOO_MANY, MAX_FRAME_BYTES
from conversations.hub import running_hub

DRAIN_SECONDS = 10
ANSWERS_SECONDS = 18  # of these, until replies that are read over HTTP are broken off
CLOSE_SECONDS = 10
STALLED_READER_MILLISECONDS = 30_000
# Longer than proxies keep an idle connection, up to the ten minutes that deploy/ and docs/ have for them: a request
# sent on a connection which is just being closed is answered with 502, as nobody knows whether it was taken.
KEEP_ALIVE_SECONDS = 620


class Sockets(BoundedFrames):
    """The chat's own close code, which its page knows."""

    too_many = CLOSE_TOO_MANY


class DrainingServer(uvicorn.Server):
    """Starts the hub with the server; on SIGTERM first sends every tab elsewhere, then shuts down."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        threads.start_default()
        running_hub()
        self._looking = asyncio.create_task(maintenance.keep_looking())
        get_resolver().url_patterns  # noqa: B018 - imports every view now, not while the first request waits
        keep_loaded()
        serve_metrics("web")
        tracing.start("web")
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()  # nobody new; those who are here are told
        hub = running_hub()
        await hub.drain(DRAIN_SECONDS, answers_seconds=ANSWERS_SECONDS)
        await super().shutdown(sockets)
        await cancel_until_done([self._looking])
        await hub.stop()


class Command(BaseCommand):
    help = "Serves pages and WebSockets. SIGTERM drains: tabs are told to reconnect, then the process ends within 30 s."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (default PORT or 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT. Raises CommandError where the port is taken."""
        threads.share_arenas()
        descriptors.raise_limit()
        listener = listen(options["host"], options["port"])
        config = uvicorn.Config(
            "chatbot_project.asgi:application",
            loop="uvloop",
            http="httptools",
            ws=Sockets,
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,  # costs 15 % CPU and 45 KiB a socket
            ws_ping_interval=20,
            ws_ping_timeout=20,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # trusted hops are counted by the application
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
        # uvicorn raises the signal that ended it once more when all is done; that is no error here.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            DrainingServer(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CommandError that says what to do where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # A reader that has stopped reading keeps its connection no longer than this.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_READER_MILLISECONDS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CommandError(f"Cannot listen on {host}:{port} ({error.strerror}). Choose another with PORT=…") from None
    listener.listen(2048)
    return listener
