"""How much a person, a guest or a source may ask for: exact sliding windows, one budget whichever way they come in.

A budget holds several windows, such as 60 in a minute and 1000 in an hour. Redis keeps the moments of what was taken,
newest first; a window is full exactly when its n-th newest moment is still within it. One script looks at all windows
of all budgets and takes from all of them or from none, so that any number of requests at once, over any number of
processes, get exactly as many as there are.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.redis import RedisError, blocking_redis

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 0.1
#: What clients are told to wait while Redis is away: a quarter of how long it has been, a second at least.
SHORTEST_WAIT, LONGEST_WAIT = 1, 5

# KEYS: the budgets. ARGV: for each its number of windows, then limit and seconds of each window.
# Returns {wait, limit, remaining, reset}, times in microseconds: wait is 0 where one was taken from every budget, and
# the rest is of the window with the fewest remaining.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local wait, spans, at = 0, {}, 1
for i, key in ipairs(KEYS) do
  for w = 1, tonumber(ARGV[at]) do
    local limit, span = tonumber(ARGV[at + 2 * w - 1]), ARGV[at + 2 * w] * 1000000
    local nth = redis.call('LINDEX', key, limit - 1)
    if nth then wait = math.max(wait, math.min(nth + span - now, span)) end
    spans[#spans + 1] = {key, limit, span, i}
  end
  at = at + 1 + 2 * ARGV[at]
end
if wait <= 0 then
  local most, longest = {}, {}
  for _, s in ipairs(spans) do
    most[s[4]] = math.max(most[s[4]] or 0, s[2])
    longest[s[4]] = math.max(longest[s[4]] or 0, s[3])
  end
  for i, key in ipairs(KEYS) do
    if most[i] then
      redis.call('LPUSH', key, string.format('%.0f', now))
      redis.call('LTRIM', key, 0, most[i] - 1)
      redis.call('PEXPIRE', key, longest[i] / 1000)
    end
  end
end
local tightest
for _, s in ipairs(spans) do
  -- How many of the moments, newest first, lie within the window: the first that does not, by halving.
  local low, high = 0, math.min(redis.call('LLEN', s[1]), s[2])
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('LINDEX', s[1], middle) + s[3] > now then low = middle + 1 else high = middle end
  end
  local left = s[2] - low
  if not tightest or left < tightest[2] or (left == tightest[2] and s[2] < tightest[1]) then
    local reset = low > 0 and redis.call('LINDEX', s[1], low - 1) + s[3] - now or 0
    tightest = {s[2], left, reset}
  end
end
return {wait, tightest[1], tightest[2], tightest[3]}
"""
_SHA = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Budget:
    """What is counted under ``key``: at most so many within any so many seconds, for each pair of ``windows``."""

    key: str
    windows: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the tightest window stands after a request: ``remaining`` of ``limit``; in ``reset`` seconds one more is
    free (RateLimit-* headers)."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


class _Absence:
    """Since when Redis has not answered this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def begins(self) -> None:
        if self._since is None:
            self._since = self._clock()

    def ends(self) -> None:
        self._since = None

    def wait(self) -> int:
        """Seconds after which whoever is turned away may come again."""
        lasted = 0.0 if self._since is None else self._clock() - self._since
        return max(SHORTEST_WAIT, min(LONGEST_WAIT, round(lasted / 4)))


_absence = _Absence()


class RateLimited(ApplicationError):
    """Try again after ``retry_after`` seconds."""

    def __init__(self, retry_after: int, standing: Standing) -> None:
        detail = _("That was too much at once. Try again in %(seconds)d s.") % {"seconds": retry_after}
        super().__init__("rate_limited", detail, status=429, retry_after=retry_after)
        self.standing = standing


def take(budgets: Sequence[Budget], *, closed: bool) -> Standing | None:
    """Take one from every budget, or raise RateLimited and take from none.

    While Redis cannot be asked: raises ApplicationError ``unavailable`` (503) where ``closed``, else returns None.
    None also where no budget has a window.
    """
    keys, arguments = _command(budgets)
    if not keys:
        return None
    client = blocking_redis()
    try:
        try:
            answer: Any = client.evalsha(_SHA, len(keys), *keys, *arguments)
        except NoScriptError:  # Redis is new, or was emptied
            answer = client.eval(_TAKE, len(keys), *keys, *arguments)
    except RedisError as error:
        _note_away(error, closed=closed)
        return None
    return _standing(answer, budgets)


async def take_async(client: Any, budgets: Sequence[Budget], *, closed: bool) -> Standing | None:
    """``take`` for asyncio, over a client of ``make_redis``."""
    keys, arguments = _command(budgets)
    if not keys:
        return None
    command = (len(keys), *keys, *arguments)
    try:
        try:
            answer = await _evaluate(client, command)
        except (RedisConnectionError, OSError):
            # A thousand at once may find no place in the server's queue of new connections: that is not Redis away.
            await asyncio.sleep(AGAIN_SECONDS)
            answer = await _evaluate(client, command)
    except (RedisError, OSError) as error:
        _note_away(error, closed=closed)
        return None
    return _standing(answer, budgets)


def give_back(budgets: Sequence[Budget]) -> None:
    """Undo one ``take`` of what was not granted after all; while Redis is away it stays taken."""
    client = blocking_redis()
    try:
        for key in _command(budgets)[0]:
            client.lpop(key)
    except RedisError as error:
        _note_away(error, closed=False)


async def give_back_async(client: Any, budgets: Sequence[Budget]) -> None:
    """``give_back`` for asyncio."""
    try:
        for key in _command(budgets)[0]:
            await client.lpop(key)
    except (RedisError, OSError) as error:
        _note_away(error, closed=False)


async def _evaluate(client: Any, command: tuple[Any, ...]) -> Any:
    try:
        return await client.evalsha(_SHA, *command)
    except NoScriptError:
        return await client.eval(_TAKE, *command)


def unavailable() -> ApplicationError:
    """What is answered where nothing may be let through uncounted and Redis cannot be asked: try again soon, later the
    longer it is away."""
    detail = _("This cannot be done for the moment, because a part of the service is away. Try again in a minute.")
    return ApplicationError("unavailable", detail, status=503, retry_after=_absence.wait())


def _command(budgets: Sequence[Budget]) -> tuple[list[str], list[int]]:
    counted = [budget for budget in budgets if budget.windows]
    arguments: list[int] = []
    for budget in counted:
        arguments.append(len(budget.windows))
        for limit, seconds in budget.windows:
            arguments += (limit, seconds)
    return [f"rate:{budget.key}" for budget in counted], arguments


def _note_away(error: Exception, *, closed: bool) -> None:
    _absence.begins()
    logger.warning("ratelimit.redis_away", exc_info=error)
    if closed:
        raise unavailable() from error


def _standing(answer: Sequence[int], budgets: Sequence[Budget]) -> Standing:
    _absence.ends()
    wait, limit, remaining, reset = answer
    standing = Standing(limit, remaining, _seconds(reset))
    if wait > 0:
        metrics.RATE_LIMITED.labels(budgets[0].key.partition(":")[0]).inc()
        raise RateLimited(max(1, _seconds(wait)), standing)
    return standing


def _seconds(microseconds: int) -> int:
    return math.ceil(microseconds / 1_000_000)
