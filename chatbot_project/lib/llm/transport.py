"""The one HTTP session to all providers, and how the SDK uses it: one pool, one guard of addresses, one set of
bounds.
"""

import email.utils
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx2

from chatbot_project.lib.egress import socket_guard

# Below the 5 s after which uvicorn and llama.cpp drop an idle connection, so that none is used while it is being
# dropped.
KEEPALIVE_SECONDS = 4.0
READ_BUFFER = 64 * 1024


def make_session(connections: int, *, private: bool = True) -> aiohttp.ClientSession:
    """A session for this event loop with at most ``connections`` open at once.

    It takes no proxy, password or cookie from the environment or from an answer, decompresses nothing (a few bytes can
    unpack to gigabytes; every request asks for ``identity``), and connects to nothing that ``lib.egress`` forbids.
    ``private=False`` is for addresses that the operator did not choose: nothing of this machine's own networks then.
    """
    connector = aiohttp.TCPConnector(
        limit=connections,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ttl_dns_cache=60,
        socket_factory=socket_guard(private=private),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        read_bufsize=READ_BUFFER,
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
    )


async def read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The body, or ``None`` where it is longer than ``limit`` bytes (the rest stays unread)."""
    pieces: list[bytes] = []
    size = 0
    while piece := await response.content.readany():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


class BodyTooLarge(httpx2.ReadError):
    """The answer's body is longer than the bound."""


class SessionTransport(httpx2.AsyncBaseTransport):
    """Sends the SDK's requests through our session. Redirects come back as they are; the SDK is told not to follow."""

    def __init__(self, session: aiohttp.ClientSession, *, body_limit: int) -> None:
        self._session = session
        self._body_limit = body_limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer. Raises httpx2's exceptions, which the SDK turns into its own."""
        timeouts: dict[str, Any] = request.extensions.get("timeout", {})
        headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in _OURS]
        headers.append(("Accept-Encoding", "identity"))
        try:
            async with self._session.request(
                request.method,
                str(request.url),
                data=await request.aread() or None,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=timeouts.get("connect"), sock_read=timeouts.get("read")
                ),
            ) as response:
                body = await read_bounded(response, self._body_limit)
                if body is None:
                    raise BodyTooLarge("the body is too large", request=request)
                kept = [(k, v) for k, v in response.headers.items() if k.lower() not in _HOP_BY_HOP]
                return httpx2.Response(response.status, headers=kept, content=body, request=request)
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.ReadError(str(error), request=request) from error


_OURS = {"accept-encoding", "host", "content-length", "transfer-encoding", "connection"}
_HOP_BY_HOP = {"transfer-encoding", "connection", "keep-alive", "content-length"}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the answer asks to wait, from 0 on: ``retry-after-ms``, else ``Retry-After`` in seconds or as a date."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / divisor
        except ValueError:
            continue
        return max(0.0, seconds) if seconds < float("inf") else None
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return max(0.0, email.utils.mktime_tz(date) - time.time()) if date else None
