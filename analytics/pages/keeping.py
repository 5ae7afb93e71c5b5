"""Keeps parts of pages of figures in the cache: they change when figures are counted, not when somebody looks."""

from collections.abc import Callable
from hashlib import sha256

from django.core.cache import cache
from django.utils.safestring import SafeString
from redis.exceptions import RedisError

#: Longer than from one count to the next, and not so long that the name of a persona would be an old one.
KEPT_SECONDS = 15 * 60


def kept(of: tuple[object, ...], make: Callable[[], SafeString]) -> SafeString:
    """What ``make`` gives: HTML without a word of people's own. ``of`` is all that it depends on. Made each time where
    the cache is away."""
    key = f"analytics:part:{sha256(repr(of).encode()).hexdigest()}"
    try:
        found = cache.get(key)
        if found is None:
            found = str(make())
            cache.set(key, found, KEPT_SECONDS)
    except (RedisError, OSError):
        return make()
    return SafeString(found)
