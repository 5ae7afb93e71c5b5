"""Answers made piece by piece: read to the end, or left by who reads them."""

import asyncio
from collections.abc import Iterator
from threading import Event

from chatbot_project.lib.api.pieces import PiecewiseResponse


class Pieces(Iterator[bytes]):
    """Three pieces; knows whether it was closed, and never while it was read."""

    def __init__(self) -> None:
        self.left, self.closed, self.reading, self.go_on = 3, False, Event(), Event()
        self.go_on.set()

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.left -= 1
        self.reading.set()
        self.go_on.wait(20)
        assert not self.closed
        return b"piece"

    def close(self) -> None:
        self.closed = True


def test_who_reads_to_the_end_gets_all() -> None:
    async def read() -> list[bytes]:
        return [piece async for piece in PiecewiseResponse(pieces)]

    pieces = Pieces()
    assert asyncio.run(read()) == [b"piece"] * 3
    assert pieces.closed


def test_who_leaves_closes_what_is_read() -> None:
    async def read() -> None:
        reader = aiter(PiecewiseResponse(pieces))
        await anext(reader)
        await reader.aclose()

    pieces = Pieces()
    asyncio.run(read())
    assert (pieces.left, pieces.closed) == (2, True)


def test_who_is_cut_off_while_a_piece_is_made_closes_it_after_that() -> None:
    async def read() -> None:
        reader = asyncio.ensure_future(anext(aiter(PiecewiseResponse(pieces))))
        await asyncio.to_thread(pieces.reading.wait, 20)
        reader.cancel()
        await asyncio.sleep(0)
        assert not pieces.closed
        pieces.go_on.set()
        await asyncio.wait([reader])

    pieces = Pieces()
    pieces.go_on.clear()
    asyncio.run(read())
    assert (pieces.left, pieces.closed) == (2, True)
