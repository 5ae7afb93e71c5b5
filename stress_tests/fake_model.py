"""A model server that does what it is told: real HTTP, the OpenAI protocol, timing and faults by request.

In a test, in a thread of its own::

    server = FakeModelServer()
    base_url = server.start()
    server.enqueue(Script(tokens=5, token_ms=20, cut_after=3))   # the next chat request
    ...
    server.stop()

On its own: ``python -m stress_tests.fake_model --port 9000 --first-ms 200 --token-ms 20 --tokens 60``. There, and in
tests, a request chooses for itself with a model name such as ``fake?tokens=200&token_ms=0`` (fields of ``Script``).

Streams due at the same moment share one timer and write straight to their transports: a thousand of them cost little.
"""

import argparse
import asyncio
import collections
import signal
import socket
import threading
from collections.abc import Callable
from functools import cache

import uvloop

from .fake_http import CHAT, EMBEDDINGS, MODELS, MODERATIONS, Connection
from .fake_script import Gate, Script, script_from_model
from .fake_stream import Recorded, Wheel

__all__ = [
    "CHAT",
    "EMBEDDINGS",
    "MODELS",
    "MODERATIONS",
    "FakeModelServer",
    "Gate",
    "Recorded",
    "Script",
    "closed_port",
    "main",
]


@cache
def _kept() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


def closed_port() -> int:
    """A local port on which nobody listens, nor can, for as long as this process lives."""
    return int(_kept().getsockname()[1])


class FakeModelServer:
    """The server, in a thread and an event loop of its own (``start``/``stop``) or in the caller's loop (``serve``)."""

    def __init__(self, default: Script | None = None, *, keep_requests: int = 100_000) -> None:
        self._default = self.default = default or Script()
        self.models = ["fake", "fake-small"]
        self.pullable = {"fake-pulled"}
        self.requests: collections.deque[Recorded] = collections.deque(maxlen=keep_requests)
        self.disconnected = 0
        self.huge_bytes_sent = 0
        #: Called, in the server's thread, when all of a streamed reply and its finish_reason have been written.
        self.on_finished: Callable[[Recorded], None] = lambda _request: None
        self.connections: set[Connection] = set()
        self._scripts: dict[str, collections.deque[Script]] = collections.defaultdict(collections.deque)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop
        self.wheel: Wheel
        self.port = 0

    @property
    def base_url(self) -> str:
        """What an OpenAI client calls the base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def enqueue(self, *scripts: Script, path: str = CHAT) -> None:
        """The next requests to ``path`` take these, in this order; later ones the default again."""
        self._scripts[path].extend(scripts)

    def hold(self) -> Gate:
        """A closed gate for ``Script(gate=…)``."""
        return Gate()

    def restore(self) -> None:
        """Forget scripts, requests, counts and pulled models; the default script is a healthy model again."""
        self.default = self._default
        self.models = ["fake", "fake-small"]
        self._scripts.clear()
        self.requests.clear()
        self.disconnected = self.huge_bytes_sent = 0
        self.on_finished = lambda _request: None

    def next_script(self, request: Recorded) -> Script:
        """The script for this request. Raises ``ValueError`` for a model name with an unknown field."""
        queue = self._scripts.get(request.path)
        script = queue.popleft() if queue else self.default
        return script_from_model(request.model, script)

    def record(self, request: Recorded) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note_leaving(self, *, in_stream: bool) -> None:
        with self._changed:
            self.disconnected += in_stream
            self._changed.notify_all()

    def wait_requests(self, count: int, deadline: float = 10.0) -> None:
        """Block until ``count`` requests have come in; ``TimeoutError`` after ``deadline`` seconds."""
        self._wait(lambda: len(self.requests) >= count, f"{count} requests", deadline)

    def wait_disconnected(self, count: int = 1, deadline: float = 10.0) -> None:
        """Block until ``count`` clients have left in the middle of a stream; ``TimeoutError`` after ``deadline``
        seconds.
        """
        self._wait(lambda: self.disconnected >= count, f"{count} disconnects", deadline)

    def wait_idle(self, deadline: float = 10.0) -> None:
        """Block until no client is connected any more; ``TimeoutError`` after ``deadline`` seconds."""
        self._wait(lambda: not self.connections, "its last client to leave", deadline)

    def _wait(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, deadline):
                raise TimeoutError(f"the fake model server waited {deadline} s in vain for {what}")

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listen on 127.0.0.1 in the running loop."""
        self.loop = asyncio.get_running_loop()
        self.wheel = Wheel(self.loop)
        server = await self.loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=4096)
        self.port = int(server.sockets[0].getsockname()[1])
        return server

    def start(self, port: int = 0) -> str:
        """Serve from a thread; returns the base URL."""
        started = threading.Event()

        async def run() -> None:
            server = await self.serve(port)
            self._stopped = asyncio.Event()
            started.set()
            await self._stopped.wait()
            server.close()
            for connection in list(self.connections):
                connection.close()

        def work() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run())

        self._thread = threading.Thread(target=work, name="fake-model", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise TimeoutError("the fake model server did not start")
        return self.base_url

    def stop(self) -> None:
        """End the thread and every connection. May be called twice."""
        if self._thread is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)
        self._thread = None


async def _serve_until_signal(server: FakeModelServer, port: int) -> None:
    listening = await server.serve(port)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        server.loop.add_signal_handler(number, stop.set)
    print(server.base_url, flush=True)
    await stop.wait()
    listening.close()
    for connection in list(server.connections):
        connection.close()


def main() -> None:
    """Serve until SIGINT or SIGTERM; prints the base URL once it listens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--first-ms", type=float, default=200)
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--echo", action="store_true", help="reply with the last user message")
    arguments = parser.parse_args()
    script = Script(
        tokens=arguments.tokens, first_ms=arguments.first_ms, token_ms=arguments.token_ms, echo=arguments.echo
    )
    server = FakeModelServer(script, keep_requests=1000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(server, arguments.port))


if __name__ == "__main__":
    main()
