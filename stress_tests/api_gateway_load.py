"""The load of api_gateway_test: requests that come at a rate whether or not earlier ones were answered, and one caller
who does not know when to stop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .bench_api_load import Answer, Connection

LOST = 0  # the status of what was not answered
PATIENCE_SECONDS = 30.0
REFUSALS = 5  # after which a caller is taken to have met a limit
OK, TOO_MANY = 200, 429
LONGEST_WAIT_SECONDS = 70


class Connections:
    """Kept connections to one address: as many as are in use at once."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._free: list[Connection] = []
        self.opened = 0

    async def request(self, name: str, request: bytes, mark: bytes = b"") -> Answer:
        """The answer; one of status LOST where there was none."""
        began = time.perf_counter()
        connection = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                connection = self._kept() or await self._open()
                answer = await connection.request(name, request, mark)
        except (OSError, EOFError, TimeoutError):
            if connection is not None:
                connection.close()
            took = time.perf_counter() - began
            return Answer(name, LOST, took, took, ended_at=began + took)
        self._free.append(connection)
        return answer

    def _kept(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed:
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection:
        connection = Connection(self._address)
        await connection.open()
        self.opened += 1
        return connection

    def close(self) -> None:
        for connection in self._free:
            connection.close()


async def at_rate(
    connections: Connections,
    request_of: Callable[[int], tuple[str, bytes]],
    *,
    rate: float,
    seconds: float,
    mark: bytes,
) -> list[Answer]:
    """``rate`` requests a second, each at its moment however late others are answered; times count from that moment, so
    that a server that stops for a second is late for all that came meanwhile."""
    began = time.perf_counter()

    async def one(number: int) -> Answer:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late = time.perf_counter() - due
        answer = await connections.request(*request_of(number), mark)
        return replace(answer, first_s=answer.first_s + late, end_s=answer.end_s + late)

    return await asyncio.gather(*map(one, range(round(rate * seconds))))


@dataclass(frozen=True)
class Exhausted:
    """What came of asking on and on: all answers, the ``seconds`` that took, and whether one more was let in after the
    wait that the last refusal named."""

    seconds: float
    answers: Sequence[Answer]
    again: bool

    @property
    def accepted(self) -> int:
        """How many were answered as they should: what was lost or failed was neither let in nor refused."""
        return sum(answer.status == OK for answer in self.answers)

    @property
    def refusals(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == TOO_MANY]


async def exhaust(connections: Connections, request_of: Callable[[int], bytes], *, most: int) -> Exhausted:
    """Ask one after the other until REFUSALS were refused or ``most`` were asked, then wait as told and ask again."""
    answers: list[Answer] = []
    began = time.perf_counter()
    while len(answers) < most and sum(answer.status == TOO_MANY for answer in answers) < REFUSALS:
        answers.append(await connections.request("limit", request_of(len(answers))))
    seconds = time.perf_counter() - began
    wait = answers[-1].retry_after
    again = False
    if wait is not None and wait <= LONGEST_WAIT_SECONDS:
        await asyncio.sleep(wait)
        again = (await connections.request("limit", request_of(len(answers)))).status == OK
    return Exhausted(seconds, answers, again)
