"""Answers made piece by piece, so that neither the whole nor a connection is held while a slow client reads."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import StreamingHttpResponse

from chatbot_project.lib.db import run_db


class PiecewiseResponse(StreamingHttpResponse):
    """Sends what ``pieces`` gives. Each is one unit of work with the database, made when the one before has been sent.

    Under ASGI in the database's threads; under WSGI, where the tests' client calls views, in the request's own.
    """

    def __init__(self, pieces: Iterator[str] | Iterator[bytes], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._pieces: Iterator[str | bytes] = pieces
        self.is_async = True

    def __iter__(self) -> Iterator[bytes]:
        return map(self.make_bytes, self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reading: asyncio.Future[Any] | None = None
        try:
            while True:
                reading = asyncio.ensure_future(run_db(next, self._pieces, None))
                piece = await asyncio.shield(reading)
                if piece is None:
                    break
                yield self.make_bytes(piece)
        finally:
            # Left before the end where the client has gone; Django closes the response only where it has not.
            if reading is not None:
                await asyncio.wait([reading])
            if close := getattr(self._pieces, "close", None):
                await run_db(close)
