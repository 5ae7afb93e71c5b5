"""Keeps parts of pages of figures in the cache: they change when figures are counted, not when somebody looks."""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Protocol

from django.conf import settings
from django.core.cache import cache
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from redis.exceptions import RedisError

from analytics.metrics import Group
from analytics.models import Price, RollupState
from analytics.pages.asking import Asked
from analytics.pages.sections import Section

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
    return SafeString(found)  # nosec B703  # what `make` gave


class Page(Protocol):
    """A page of sections, of which each is made when it is asked for."""

    asked: Asked

    @property
    def prices(self) -> bool: ...

    @property
    def groups(self) -> Sequence[Group]: ...

    def section(self, group: Group) -> Section: ...


def kept_sections(path: str, page: Page, *also: object) -> list[SafeString]:
    """The sections of ``page``, which stands at ``path``, as HTML; they depend on ``also`` beside what is asked for.
    That which lists what people asked is not kept."""

    def made(group: Group) -> SafeString:
        return render_to_string("analytics/_section.html", {"section": page.section(group)})

    asked = page.asked
    counted_until = RollupState.objects.values_list("counted_until", flat=True).first()
    prices = tuple(Price.objects.order_by("pk").values_list("model", "valid_from", "prompt", "completion"))
    viewer = (page.prices, get_language())
    of = (path, asked.period, asked.query, counted_until, prices, settings.PRICE_CURRENCY, viewer, also)
    return [
        made(group) if group == Group.KNOWLEDGE else kept((group.value, *of), partial(made, group))
        for group in page.groups
    ]
