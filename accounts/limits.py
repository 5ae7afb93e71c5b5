"""How often a person or a source may try. Exact under any concurrency, and closed while Redis is away.

Each limit is a bucket: so many tries at once, then one more every so many seconds (the generic cell rate algorithm; the
moment at which the bucket will be full again is what is stored). A request is checked against several buckets in one
script, and takes from all of them or from none.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.devices import account_fingerprint, device_of
from accounts.models import User
from accounts.sources import client_source
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.metrics import names as metrics
from chatbot_project.lib.ratelimit import unavailable
from chatbot_project.lib.redis import RedisError, blocking_redis

logger = logging.getLogger(__name__)

# ARGV: for each key its burst and its seconds per try. Returns 0, or the milliseconds until all buckets have room.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait, full_at = 0, {}
for i, key in ipairs(KEYS) do
  local burst, every = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]) * 1000
  local at = math.max(tonumber(redis.call('GET', key) or '0'), now) + every
  full_at[i] = at
  wait = math.max(wait, at - now - burst * every)
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do redis.call('SET', key, string.format('%.0f', full_at[i]), 'PX', full_at[i] - now) end
return 0
"""

# The same arguments: each bucket gets one try back.
_GIVE_BACK = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i, key in ipairs(KEYS) do
  local at = tonumber(redis.call('GET', key) or '0') - tonumber(ARGV[2 * i]) * 1000
  if at > now then redis.call('SET', key, string.format('%.0f', at), 'PX', at - now) else redis.call('DEL', key) end
end
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """``burst`` tries at once, then one more every ``seconds``."""

    key: str
    burst: int
    seconds: int


class TooManyTries(ApplicationError):
    """Try again after ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        detail = _("Too many tries. Wait a little, then try again.")
        super().__init__("too_many_tries", detail, status=429, retry_after=retry_after)


def take(buckets: Sequence[Bucket]) -> None:
    """Take one try from every bucket, or raise TooManyTries and take from none.

    Raises ApplicationError ``unavailable`` (503) while Redis cannot be asked: nobody gets unlimited tries meanwhile.
    """
    try:
        wait = int(_run(_TAKE, buckets))
    except RedisError as error:
        logger.exception("limits_unavailable")
        raise unavailable() from error
    if wait > 0:
        metrics.RATE_LIMITED.labels("tries").inc()
        raise TooManyTries(math.ceil(wait / 1000))


def give_back(buckets: Sequence[Bucket]) -> None:
    """Return the try that was taken, because it turned out to be the person's own."""
    try:
        _run(_GIVE_BACK, buckets)
    except RedisError:
        logger.warning("limits_not_given_back", exc_info=True)


def _run(script: str, buckets: Sequence[Bucket]) -> Any:
    keys = [f"limit:{bucket.key}" for bucket in buckets]
    arguments = [value for bucket in buckets for value in (bucket.burst, bucket.seconds)]
    return blocking_redis().eval(script, len(keys), *keys, *arguments)


def sign_in_buckets(request: HttpRequest, address: str) -> list[Bucket]:
    """The buckets that a try to sign in as ``address`` takes from.

    A stranger's try counts for its source, for the pair of account and source, and for the account. A device from which
    that account was signed in to before has one bucket of its own instead, so that nobody else can use up its tries.
    """
    account = account_fingerprint(address)
    device = device_of(request)
    if device and device.knows(address):
        return [Bucket(f"sign-in:{account}:{device.name}", 10, 30)]
    source = client_source(request)
    return [
        Bucket(f"sign-in:{account}:{source}", 6, 30),
        Bucket(f"sign-in-account:{account}", 20, 30),
        Bucket(f"sign-in-source:{source}", 40, 15),
    ]


def code_buckets(request: HttpRequest, user: User) -> list[Bucket]:
    """The buckets that a guess at a code of the second factor takes from, once the password was right.

    Three of a million codes are good at a time. What is left to a stranger is under 300 guesses a day, from wherever; a
    device from which the account was signed in to has a bucket of its own, so that a stranger's guesses never keep its
    owner out.
    """
    device = device_of(request)
    if user.email and device and device.knows(user.email):
        return [Bucket(f"code:{user.pk}:{device.name}", 6, 60)]
    return [Bucket(f"code:{user.pk}", 6, 300)]


def take_mail(request: HttpRequest, address: str) -> None:
    """Take one try of an action that ends in a mail to ``address``. Raises as ``take`` does."""
    take(
        [
            Bucket(f"mail:{account_fingerprint(address)}", 6, 600),
            Bucket(f"mail-source:{client_source(request)}", 40, 60),
        ]
    )


def take_guest(request: HttpRequest) -> None:
    """Take one try at becoming a guest. Raises as ``take`` does."""
    take([Bucket(f"guest:{client_source(request)}", 60, 10)])
