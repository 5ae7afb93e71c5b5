"""Whether one more question can be taken: what waits, how fast it moves, and how long which person may be made to wait.

A question that is not taken is not stored; one that was acknowledged is never dropped. Each web process reads the
lines once a second and counts what it accepts in between, so that asking costs no query: over all processes, a bound
may be passed by what comes in within that second.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.metrics import names as metrics

SEVERAL = 2  # who has so many under way waits behind everybody else
SETTLED = timedelta(hours=1)  # a guest who has been here for so long is no newcomer
SHORTEST_RETRY, LONGEST_RETRY, UNKNOWN_RETRY = 5, 300, 30
JITTER = 0.25
LONGEST_WAIT = 86_400.0  # seconds; from there on an estimate says nothing


class Busy(ApplicationError):
    """The question would wait for too long, as number ``position`` in line for about ``wait`` seconds (None: not
    known). Ask again after ``retry_after``, which differs from one to the next so that not all come back at once."""

    def __init__(self, position: int, wait: int | None, retry_after: int) -> None:
        if wait is None:
            detail = _("Everybody asks at once. You would be number %(position)d in line.") % {"position": position}
        else:
            said = {"position": position, "wait": wait}
            detail = _("Everybody asks at once. You would be number %(position)d in line, for about %(wait)d s.") % said
        super().__init__("busy", detail, status=503, retry_after=retry_after)
        self.position, self.wait = position, wait


@dataclass(frozen=True, slots=True)
class Lines:
    """What waits, by provider and turn (``queue.lines``), and how many replies each provider starts per second."""

    waiting: Mapping[tuple[str, int], int]
    paces: Mapping[str, float]
    accepted: Counter[tuple[str, int]] = field(default_factory=Counter)  # here, while the lines were read or since

    def place(self, provider: str, live: int) -> int:
        """Where a question of somebody with ``live`` replies under way would stand."""
        return 1 + sum(count for name, turn, count in self._counts() if name == provider and turn <= live + 1)

    def length(self, provider: str) -> int:
        """How many wait for ``provider``."""
        return sum(count for name, _turn, count in self._counts() if name == provider)

    def _counts(self) -> list[tuple[str, int, int]]:
        known = [*self.waiting.items(), *list(self.accepted.items())]  # a list at once: other threads count on
        return [(name, turn, count) for (name, turn), count in known]

    def wait(self, provider: str, place: int) -> float | None:
        """The seconds that number ``place`` waits, by what was measured: LONGEST_WAIT in a line that stands still; None
        where nothing was measured."""
        pace = self.paces.get(provider)
        if pace is None:
            return None
        return min(place / pace, LONGEST_WAIT) if pace > 0 else LONGEST_WAIT


def about(seconds: float | None) -> int | None:
    """An estimate as it is told: no more exact than it is, so that it is not told anew all the time. None where there
    is none, or it is so long that it says nothing."""
    if seconds is None or seconds >= LONGEST_WAIT:
        return None
    step = 1 if seconds < 10 else 5 if seconds < 60 else 15 if seconds < 300 else 60
    return math.ceil(seconds / step) * step


_lock = Lock()
_lines = Lines({}, {})


def known_lines() -> Lines:
    """The lines as this process last read them; empty where none ever were."""
    return _lines


def counted_in() -> Counter[tuple[str, int]]:
    """What this process counts beside the lines as it last read them."""
    with _lock:
        return Counter(_lines.accepted)


def note_lines(lines: Lines, *, before: Counter[tuple[str, int]] | None = None) -> None:
    """From now on ``lines`` is how it stands. What was accepted after ``before``, if that is given, may not have
    been stored when they were read: it goes on being counted, twice where it was."""
    global _lines
    with _lock:
        lines.accepted.update(Counter() if before is None else _lines.accepted - before)
        _lines = lines


def patience_of(user: User, live: int) -> float:
    """How much of the bounds ``user`` is let in up to: the smaller, the sooner their questions are turned away.

    The newest guests come first, then other guests, then who is signed in, and staff last. Whoever has several replies
    under way comes before all of them, so that nobody with none is turned away in their favour.
    """
    if live >= SEVERAL:
        return 0.25
    if user.is_guest:
        return 0.25 + 0.25 * min(1.0, (timezone.now() - user.created_at) / SETTLED)
    return 2.0 if user.is_staff else 1.0


def kind_of(user: User) -> str:
    """By what kind of person what is turned away is counted."""
    return "guest" if user.is_guest else "staff" if user.is_staff else "user"


def refuse_if_busy(user: User, live: int, provider: str) -> None:
    """Raise Busy where a question of ``user``, who has ``live`` replies under way, would wait for too long; else count
    it in."""
    lines = known_lines()
    place = lines.place(provider, live)
    wait = lines.wait(provider, place)
    patience = patience_of(user, live)
    longest = patience * settings.BUSY_SECONDS
    if lines.length(provider) < patience * settings.BUSY_QUEUE and (wait is None or wait <= longest):
        with _lock:
            _lines.accepted[provider, live + 1] += 1
        return
    metrics.SHED.labels(kind_of(user)).inc()
    excess = UNKNOWN_RETRY if wait is None else max(wait - longest, SHORTEST_RETRY)
    spread = 1 + random.random() * JITTER  # noqa: S311  spreads those who come back, no secret
    retry_after = math.ceil(min(excess, LONGEST_RETRY) * spread)
    raise Busy(place, about(wait), retry_after)
