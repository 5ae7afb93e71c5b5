"""``/status/``: is the service up, and can replies be given now; for people, and as JSON. It tells of no internals.

What is known is kept for KEPT_SECONDS, and nobody's session is looked up (``middleware.NobodyMiddleware``): the page is
cheap, and is there while the database or Redis is not.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from chatbot_project.lib import maintenance
from chatbot_project.lib.redis import blocking_redis
from conversations.replies import queue
from conversations.replies.heartbeat import HEARTBEAT_KEY, resting_key

T = TypeVar("T")

KEPT_SECONDS = 5.0
ASK_SECONDS = 2.0
LONG_WAIT = 10.0  # seconds that the oldest question waits, from which on it is told


@dataclass(frozen=True, slots=True)
class Standing:
    """What is there: ``stores`` is PostgreSQL, ``streams`` Redis. ``wait`` are seconds; it and what Redis knows are
    guesses where their part is away."""

    stores: bool
    streams: bool
    works: bool
    model_rests: bool
    wait: float
    at: datetime


class Watch:
    """Looks at most every KEPT_SECONDS, whoever and how many ask. Each part is asked in a thread of its own and given
    ASK_SECONDS; one that still hangs from the last time counts as away and is not asked again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="status")
        self._asked: dict[str, Future[Any]] = {}
        self._standing: Standing | None = None
        self._looked_at = 0.0

    def standing(self) -> Standing:
        with self._lock:
            if self._standing is None or time.monotonic() - self._looked_at > KEPT_SECONDS:
                self._standing = self._look()
                self._looked_at = time.monotonic()
            return self._standing

    def forget(self) -> None:
        """Look anew when next asked."""
        self._standing = None

    def _look(self) -> Standing:
        database, redis = self._ask("database", _oldest_wait), self._ask("redis", _workers)
        wait, workers = self._answer(database), self._answer(redis)
        works, rests = workers or (False, False)
        return Standing(
            stores=wait is not None,
            streams=workers is not None,
            works=works,
            model_rests=rests,
            wait=wait or 0.0,
            at=datetime.now(UTC),
        )

    def _ask(self, part: str, read: Callable[[], T]) -> "Future[T] | None":
        if part in self._asked and not self._asked[part].done():
            return None
        self._asked[part] = self._threads.submit(read)
        return self._asked[part]

    @staticmethod
    def _answer(asked: "Future[T] | None") -> T | None:
        try:
            return None if asked is None else asked.result(ASK_SECONDS)
        except Exception:  # whatever a part has, to people it is away; logs and /readyz know which
            return None


WATCH = Watch()


def _oldest_wait() -> float:
    try:
        return float(queue.depth().oldest_wait)
    finally:
        connections.close_all()


def _workers() -> tuple[bool, bool]:
    """Whether a reply worker is there, and whether the usual model and all that stand in for it are given a rest."""
    models = [settings.DEFAULT_MODEL, *settings.FALLBACK_MODELS]
    names = list(dict.fromkeys(model.partition("/")[0] for model in models))
    pipe = blocking_redis().pipeline(transaction=False)
    pipe.exists(HEARTBEAT_KEY)
    for name in names:
        pipe.exists(resting_key(name))
    works, *resting = pipe.execute()
    return bool(works), all(resting)


def parts(standing: Standing) -> list[dict[str, str]]:
    """Name, state (``ok``, ``limited`` or ``away``) and a sentence of each thing that people care for."""
    told = [_told_of_service(standing), _told_of_replies(standing)]
    return [dict(zip(("name", "title", "state", "says"), each, strict=True)) for each in told]


def _told_of_service(standing: Standing) -> tuple[str, str, str, str]:
    name, title = "service", _("Pages and conversations")
    if maintenance.current() is not None:
        return name, title, "limited", _("The service is being worked on. What you wrote is kept.")
    if not standing.stores:
        return name, title, "away", _("Nothing can be opened or stored just now. What you wrote before is kept.")
    return name, title, "ok", _("Everything can be opened and is stored.")


def _told_of_replies(standing: Standing) -> tuple[str, str, str, str]:
    name, title = "replies", _("Replies")
    if maintenance.current() is not None:
        return name, title, "away", _("New questions are not taken meanwhile. Replies that had begun end.")
    if not (standing.stores and standing.streams):  # without Redis nobody's questions can be counted
        return name, title, "away", _("No questions can be taken just now.")
    if not standing.works:
        return (
            name,
            title,
            "away",
            _("Nobody answers just now. Questions are kept, and answered as soon as somebody does."),
        )
    if standing.model_rests:
        return name, title, "limited", _("The model has not answered lately. A reply may fail: try again in a minute.")
    if standing.wait > LONG_WAIT:
        return name, title, "limited", _("Many people ask just now: replies take longer to begin.")
    return name, title, "ok", _("Questions are answered at once.")


def overall(told: list[dict[str, str]]) -> str:
    """``maintenance``, ``away`` where pages or replies are, ``limited``, or ``ok``."""
    if maintenance.current() is not None:
        return "maintenance"
    states = {part["state"] for part in told}
    return next((state for state in ("away", "limited") if state in states), "ok")


def status(request: HttpRequest) -> HttpResponse:
    """The page, or JSON for who asks for that. Always 200: the question was answered. ``/readyz`` is for machines."""
    if (
        request.path.endswith(".json")
        or request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    ):
        return status_json(request)
    standing = WATCH.standing()
    told = parts(standing)
    titles = {
        "ok": _("Everything works"),
        "limited": _("It works, with limits"),
        "away": _("Something does not work just now"),
        "maintenance": _("The service is being worked on"),
    }
    on = maintenance.current()
    context = {"title": titles[overall(told)], "parts": told, "at": standing.at, "maintenance": on}
    return _kept(HttpResponse(render_to_string("status.html", context)))


def status_json(request: HttpRequest) -> HttpResponse:
    """``status``, ``at``, and ``parts`` with ``name``, ``state`` and ``says``."""
    standing = WATCH.standing()
    told = parts(standing)
    kept = [{name: part[name] for name in ("name", "state", "says")} for part in told]
    return _kept(
        JsonResponse({"status": overall(told), "at": standing.at.isoformat(timespec="seconds"), "parts": kept})
    )


def _kept(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS:.0f}"
    response.headers["Vary"] = "Accept, Accept-Language, Cookie"
    return response
