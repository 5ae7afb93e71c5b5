"""Makes the pages of figures ready that were looked at lately, as soon as figures are counted again: who looks next
does not wait for them."""

import time
from typing import NamedTuple

from django.core.cache import cache
from django.http import QueryDict
from django.urls import reverse
from django.utils import translation
from redis.exceptions import RedisError

from analytics.pages.asking import Asked, read_asked
from analytics.pages.keeping import kept_sections
from analytics.pages.sections import Overview
from chatbot_project.lib.errors import ApplicationError

#: So many of the overviews that were asked for last are made ready, for so long after each was asked for.
MOST_READY = 8
READY_SECONDS = 7 * 24 * 3600
KEY = "analytics:asked"


class _Asked(NamedTuple):
    query: str
    prices: bool
    language: str


def note_asked(asked: Asked, *, prices: bool) -> None:
    """An overview was looked at. Who looked is not noted. Where the cache is away nothing is."""
    try:
        noted = {**_noted(), _Asked(asked.query, prices, translation.get_language() or ""): time.time()}
        newest = sorted(noted.items(), key=lambda item: item[1])[-MOST_READY:]
        cache.set(KEY, [(*each, at) for each, at in newest], READY_SECONDS)
    except (RedisError, OSError):
        return


def make_ready() -> int:
    """Make what was looked at lately, as the figures are now; how many pages."""
    try:
        noted = _noted()
    except (RedisError, OSError):
        return 0
    return sum(_make(each) for each in noted)


def _make(each: _Asked) -> bool:
    with translation.override(each.language):
        try:
            asked = read_asked(QueryDict(each.query))
        except ApplicationError:  # a persona that is there no more
            return False
        kept_sections(reverse("analytics:overview"), Overview(asked, prices=each.prices))
        return True


def _noted() -> dict[_Asked, float]:
    after = time.time() - READY_SECONDS
    return {_Asked(*each): at for *each, at in cache.get(KEY) or [] if at > after}
