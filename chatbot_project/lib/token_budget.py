"""How many tokens of models a person may use up in a day: reserved before a model is asked, settled by what it took.

Reserving first is what makes the limit hold however many replies run at once. The day is the UTC day in which the
reply began. A reply that its worker never settled (it was killed) keeps what it reserved, until it is asked again.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.ratelimit import unavailable
from chatbot_project.lib.redis import RedisError

logger = logging.getLogger(__name__)

KEPT_SECONDS = 2 * 24 * 3600

# A hash: what is used and reserved in all, and what each running reply reserved. A reply that reserves anew (its first
# worker died) gives back what it held.
_RESERVE = """
local used = tonumber(redis.call('HGET', KEYS[1], 'used') or '0')
local held = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if used - held + ARGV[2] > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], 'used', string.format('%.0f', used - held + ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""
_SETTLE = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'used', ARGV[2] - held)
return 1
"""


class TokenBudgetSpent(ApplicationError):
    """Nothing more is asked of a model for this person today. ``retry_after`` leads past midnight, UTC."""

    def __init__(self, now: datetime) -> None:
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
        detail = _("Today's allowance of tokens is used up. It begins anew at midnight (UTC).")
        seconds = int((midnight - now).total_seconds()) + 1
        super().__init__("token_budget_spent", detail, status=429, retry_after=seconds)


class Spending:
    """What one reply takes from the day's budget. Set ``used`` as soon as it is known."""

    def __init__(self) -> None:
        self.used = 0


class TokenBudget:
    """The budget of everybody, each for themselves: ``daily`` tokens, 0 for no limit (Redis is then never asked).

    ``client`` is of ``make_redis``.
    """

    def __init__(self, client: Any, daily: int) -> None:
        self._client = client
        self._daily = daily

    @asynccontextmanager
    async def reserved(self, *, person: UUID | None, reply: UUID, tokens: int) -> AsyncIterator[Spending]:
        """Hold ``tokens`` for ``reply`` while a model is asked; afterwards ``used`` of what it yields has been used.

        Raises TokenBudgetSpent where they do not fit into the day any more, and ApplicationError ``unavailable`` while
        Redis is away: nothing is asked of a model uncounted.
        """
        spending = Spending()
        if not self._daily or person is None:
            yield spending
            return
        now = datetime.now(UTC)
        key = f"tokens:{now:%Y-%m-%d}:{person}"
        try:
            fits = await self._client.eval(_RESERVE, 1, key, str(reply), tokens, self._daily, KEPT_SECONDS)
        except (RedisError, OSError) as error:
            logger.warning("token_budget.redis_away", exc_info=error)
            raise unavailable() from error
        if not fits:
            metrics.RATE_LIMITED.labels("tokens").inc()
            raise TokenBudgetSpent(now)
        try:
            yield spending
        finally:
            await self._settle(key, reply, spending.used)

    async def _settle(self, key: str, reply: UUID, used: int) -> None:
        try:
            await self._client.eval(_SETTLE, 1, key, str(reply), used)
        except (RedisError, OSError) as error:
            logger.warning("token_budget.not_settled", exc_info=error)
