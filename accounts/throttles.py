"""Who takes from which budget. The budgets are the same over HTTP, Server-Sent Events and WebSocket."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.models import User
from accounts.sources import client_source
from chatbot_project.lib import ratelimit
from chatbot_project.lib.ratelimit import Budget, Standing

SAFE = ("GET", "HEAD", "OPTIONS")


def request_budgets(user: Any, source: str) -> list[Budget]:
    """What a request to the API takes from. ``source`` is of ``accounts.sources``."""
    if not isinstance(user, User):
        return [Budget(f"requests:{source}", settings.RATE_LIMIT_ADDRESS)]
    if user.is_guest:
        return [
            Budget(f"requests:{user.pk}", settings.RATE_LIMIT_GUEST),
            Budget(f"requests:{source}", settings.RATE_LIMIT_ADDRESS),
        ]
    return [Budget(f"requests:{user.pk}", settings.RATE_LIMIT_REQUESTS)]


def ask_budgets(user: User, source: str) -> list[Budget]:
    """What a question to a model takes from: sending, editing, regenerating, continuing, by whichever way.

    A guest costs nothing to make, so all guests of one source share a budget beside their own.
    """
    if user.is_guest:
        return [
            Budget(f"asks:{user.pk}", settings.RATE_LIMIT_GUEST),
            Budget(f"asks:{source}", settings.RATE_LIMIT_ADDRESS),
        ]
    return [Budget(f"asks:{user.pk}", settings.RATE_LIMIT_ASKS)]


def take_ask(user: User, request: HttpRequest | Request) -> None:
    """Take one question from the budgets of ``user``; the answer's RateLimit headers tell of it.

    Raises RateLimited (429), and ApplicationError ``unavailable`` (503) while Redis is away.
    """
    _note(request, lambda source: ratelimit.take(ask_budgets(user, source), closed=True))


def give_ask_back(user: User, request: HttpRequest | Request) -> None:
    """Undo ``take_ask`` for a question that was turned away as too many wait, or was stored before."""
    plain = request._request if isinstance(request, Request) else request
    ratelimit.give_back(ask_budgets(user, client_source(plain)))


class RequestThrottle(BaseThrottle):
    """One request of whoever asks. Reads go on while Redis is away, and so do writes that ask no model: only signing in
    and asking are refused then, by their own limits."""

    closed = False

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or raises RateLimited, which says more than the framework's own refusal."""
        _note(request, lambda source: ratelimit.take(request_budgets(request.user, source), closed=self.closed))
        return True


class ModelThrottle(RequestThrottle):
    """For reads that may ask a model, of embeddings for one: uncounted, nobody has it asked."""

    closed = True


def _note(request: HttpRequest | Request, taking: Any) -> None:
    """Keep what the budget says where ``ApiMiddleware`` finds it for the headers."""
    plain: Any = request._request if isinstance(request, Request) else request
    try:
        plain.rate_standing = tightest(getattr(plain, "rate_standing", None), taking(client_source(plain)))
    except ratelimit.RateLimited as error:
        plain.rate_standing = error.standing
        raise


def tightest(one: Standing | None, other: Standing | None) -> Standing | None:
    """The one of which less remains."""
    if one is None or other is None:
        return one or other
    return one if one.remaining <= other.remaining else other
