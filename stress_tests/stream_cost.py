"""What reading a model's stream costs, in CPU per token: ``python -m stress_tests.stream_cost``.

Each way is measured in a process of its own against the fake model server in another, with the same streams (by
default 200 at once, 60 tokens each, one every 20 ms). Counted is the reader's CPU time alone, user and system, from the
moment all streams are open until the last has ended. No way of reading does anything with the text but count it.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx2
import openai
import uvloop

from chatbot_project.lib.llm.client import LLMClient
from chatbot_project.lib.llm.providers import Provider
from chatbot_project.lib.llm.sse import StreamParser
from chatbot_project.lib.llm.stream import ChatStream, read_all
from chatbot_project.lib.llm.transport import make_session
from chatbot_project.lib.llm.types import Bounds, ChatMessage, ChatRequest

FIRST_MS = 1000


class Load:
    """The streams to open, and the meter that starts once all of them are open."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.base_url: str = arguments.base_url
        self.streams: int = arguments.streams
        self.tick: float = arguments.tick_ms / 1000
        self.tokens: int = arguments.tokens
        self.model = f"fake?tokens={arguments.tokens}&token_ms={arguments.token_ms}&first_ms={FIRST_MS}"
        self.messages: Any = [{"role": "user", "content": "How much does this cost?"}]
        self._open = 0
        self._all_open = asyncio.Event()
        self._started = 0.0

    async def opened(self) -> None:
        """Call when a stream is open; returns when all are."""
        self._open += 1
        if self._open == self.streams:
            gc.collect()
            self._started = time.process_time()
            self._all_open.set()
        await self._all_open.wait()

    async def total(self, read_one: Callable[[], Awaitable[int]]) -> int:
        """The tokens that all streams read."""
        return sum(await asyncio.gather(*[read_one() for _ in range(self.streams)]))

    def spent(self) -> float:
        """Seconds of CPU since all streams were open."""
        return time.process_time() - self._started


async def sdk_parsed(load: Load, client: openai.AsyncOpenAI) -> int:
    """The SDK's stream of objects."""

    async def read_one() -> int:
        stream = await client.chat.completions.create(model=load.model, messages=load.messages, stream=True)
        await load.opened()
        return sum([bool(chunk.choices and chunk.choices[0].delta.content) async for chunk in stream])

    return await load.total(read_one)


async def sdk_raw(load: Load, client: openai.AsyncOpenAI) -> int:
    """The SDK's raw response, its bytes parsed by us."""

    async def read_one() -> int:
        chat = client.chat.completions.with_streaming_response
        async with chat.create(model=load.model, messages=load.messages, stream=True) as response:
            await load.opened()
            parser, count = StreamParser("fake", Bounds()), 0
            async for data in response.iter_bytes():
                count += parser.feed(data).count(" ")
            return count

    return await load.total(read_one)


async def aiohttp_every_chunk(load: Load) -> int:
    """aiohttp, our parser, each chunk as it comes."""
    body = {"model": load.model, "messages": load.messages, "stream": True}

    async with make_session(load.streams) as session:

        async def read_one() -> int:
            async with session.post(f"{load.base_url}/chat/completions", json=body) as response:
                await load.opened()
                parser, count = StreamParser("fake", Bounds()), 0
                async for data in response.content.iter_any():
                    count += parser.feed(data).count(" ")
                return count

        return await load.total(read_one)


async def open_ours(load: Load, stack: AsyncExitStack) -> list[ChatStream]:
    """All streams through our client. They return with their first token, which the meter therefore misses."""
    client = await stack.enter_async_context(LLMClient({"fake": Provider("fake", load.base_url)}))
    request = ChatRequest([ChatMessage("user", "How much does this cost?")])

    async def open_one() -> ChatStream:
        stream = await client.open_stream([f"fake/{load.model}"], request)
        stack.push_async_callback(stream.close)
        await load.opened()
        return stream

    return await asyncio.gather(*[open_one() for _ in range(load.streams)])


async def ours_per_stream(load: Load) -> int:
    """Our client, a task per stream that reads once per tick."""

    async def read_one(stream: ChatStream) -> int:
        count = 0
        while text := await stream.read():
            count += text.count(" ")
            await asyncio.sleep(load.tick)
        return count

    async with AsyncExitStack() as stack:
        return sum(await asyncio.gather(*map(read_one, await open_ours(load, stack))))


async def ours_together(load: Load) -> int:
    """Our client, all streams read together once per tick."""
    async with AsyncExitStack() as stack:
        live, count = set(await open_ours(load, stack)), 0
        while live:
            for stream, text, error in await read_all(live):
                count += text.count(" ")
                if error is not None or stream.ended:
                    live.discard(stream)
            await asyncio.sleep(load.tick)
        return count


def by_sdk(
    read: Callable[[Load, openai.AsyncOpenAI], Awaitable[int]], *, over_aiohttp: bool
) -> Callable[[Load], Awaitable[int]]:
    """``read`` with an SDK client of the wanted transport."""

    async def run(load: Load) -> int:
        limits = httpx2.Limits(max_connections=load.streams)
        http = (openai.DefaultAioHttpClient if over_aiohttp else openai.DefaultAsyncHttpxClient)(limits=limits)
        async with openai.AsyncOpenAI(api_key="none", base_url=load.base_url, http_client=http, max_retries=0) as sdk:
            return await read(load, sdk)

    return run


WAYS: dict[str, tuple[str, Callable[[Load], Awaitable[int]]]] = {
    "sdk": ("SDK, parsed stream", by_sdk(sdk_parsed, over_aiohttp=False)),
    "sdk-aiohttp": (
        "SDK over its aiohttp transport, parsed stream",
        by_sdk(sdk_parsed, over_aiohttp=True),
    ),
    "sdk-raw": ("SDK, raw response", by_sdk(sdk_raw, over_aiohttp=False)),
    "sdk-raw-aiohttp": (
        "SDK over its aiohttp transport, raw response",
        by_sdk(sdk_raw, over_aiohttp=True),
    ),
    "aiohttp": ("aiohttp, own parser, every chunk", aiohttp_every_chunk),
    "read": ("LLMClient, read() per stream and tick", ours_per_stream),
    "read_all": ("LLMClient, read_all() per tick", ours_together),
}


async def measure(way: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Tokens and CPU of one way, in this process."""
    load = Load(arguments)
    tokens = await WAYS[way][1](load)
    spent = load.spent()
    if tokens != load.streams * load.tokens:
        raise RuntimeError(f"{way} read {tokens} tokens of {load.streams * load.tokens}")
    return {"way": way, "tokens": tokens, "cpu_us_per_token": round(spent / tokens * 1e6, 1)}


def run_all(arguments: argparse.Namespace) -> None:
    """Every way after the other, each in its own process; a table, then the same as JSON."""
    server = subprocess.Popen(
        [sys.executable, "-m", "stress_tests.fake_model"], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().strip()
        results = [run_one(way, tick, base_url, arguments) for way, tick in runs(arguments)]
    finally:
        server.terminate()
        server.wait()
    print(f"{arguments.streams} streams x {arguments.tokens} tokens, one per {arguments.token_ms:g} ms")
    print(f"{'way':<48}{'tick':>8}{'CPU us/token':>15}")
    for result in results:
        tick = f"{result['tick_ms']:g} ms" if result["tick_ms"] else "-"
        print(f"{WAYS[result['way']][0]:<48}{tick:>8}{result['cpu_us_per_token']:>15}")
    versions = {"openai": openai.__version__, "aiohttp": aiohttp.__version__, "python": sys.version.split()[0]}
    print(json.dumps({"versions": versions, "results": results}))


def runs(arguments: argparse.Namespace) -> list[tuple[str, float]]:
    """Each way with each tick it has (0 for those that read every chunk)."""
    return [(way, tick) for way in WAYS for tick in (arguments.ticks if way.startswith("read") else [0.0])]


def run_one(way: str, tick_ms: float, base_url: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "stress_tests.stream_cost", "--way", way, "--base-url", base_url]
    command += ["--streams", str(arguments.streams), "--tokens", str(arguments.tokens)]
    command += ["--token-ms", str(arguments.token_ms), "--tick-ms", str(tick_ms)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result | {"tick_ms": tick_ms}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--token-ms", type=float, default=20)
    parser.add_argument("--ticks", type=float, nargs="+", default=[20, 50, 100], metavar="MS")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--base-url", help=argparse.SUPPRESS)
    parser.add_argument("--tick-ms", type=float, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(uvloop.run(measure(arguments.way, arguments))))
    else:
        run_all(arguments)


if __name__ == "__main__":
    main()
