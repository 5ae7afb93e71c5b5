"""A relay before the server that breaks the protocol in one way, to see who notices."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any, Self

import aiohttp
from aiohttp import web

Json = dict[str, Any]
Change = Callable[[Json], Iterable[Json]]


def unchanged(event: Json) -> Iterable[Json]:
    return [event]


class BrokenRelay:
    """Passes on what the API and the socket say. ``says`` and ``hears`` make other events and commands of each; a frame
    that is no JSON is passed on as it is. ``close_code`` replaces the server's; ``own_tickets`` makes any ticket good.
    """

    def __init__(
        self,
        url: str,
        *,
        says: Change = unchanged,
        hears: Change = unchanged,
        close_code: int = 0,
        own_tickets: bool = False,
    ) -> None:
        self._server, self._says, self._hears = url, says, hears
        self._close_code, self._own_tickets = close_code, own_tickets
        self._token = ""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        application = web.Application(client_max_size=2**20)
        application.router.add_get("/ws/chat/", self._socket)
        application.router.add_route("*", "/api/{path:.*}", self._api)
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
        await self._http.close()

    async def _api(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name in ("Authorization", "Content-Type")}
        self._token = headers.get("Authorization", self._token)
        async with self._http.request(
            request.method, self._server + request.path_qs, data=await request.read(), headers=headers
        ) as answer:
            body = await answer.read()
            return web.Response(status=answer.status, body=body, content_type=answer.content_type)

    async def _ticket(self, request: web.Request) -> str:
        if not self._own_tickets:
            return request.query_string
        async with self._http.post(
            f"{self._server}/api/v1/chat/ws-ticket", json={}, headers={"Authorization": self._token}
        ) as answer:
            return f"ticket={(await answer.json())['ticket']}"

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        query = await self._ticket(request)
        address = f"{self._server.replace('http', 'ws')}/ws/chat/?{query}"
        try:
            server = await self._http.ws_connect(address, origin=origin, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as refused:
            return web.Response(status=refused.status)
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        up = asyncio.create_task(self._up(client, server))
        await self._down(server, client)
        await client.close(code=self._close_code or server.close_code or 1000)
        await up
        return client

    async def _down(self, server: Any, client: Any) -> None:
        async for frame in server:
            for event in self._says(json.loads(frame.data)):
                if not client.closed:
                    await client.send_str(json.dumps(event))

    async def _up(self, client: Any, server: Any) -> None:
        async for frame in client:
            if server.closed:
                break
            if frame.type == aiohttp.WSMsgType.BINARY:
                await server.send_bytes(frame.data)
                continue
            try:
                commands = list(self._hears(json.loads(frame.data)))
            except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
                await server.send_str(frame.data)
                continue
            for command in commands:
                await server.send_str(json.dumps(command))
        await server.close()
