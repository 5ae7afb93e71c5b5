"""Everything that can go wrong between us and a model.

::

    ApplicationError
      LLMError                 llm_error
        LLMTimeout             llm_timeout        a deadline passed: connect, first token, idle, total
        LLMRateLimited         llm_rate_limited   429; ``wait`` and ``retry_after`` where the provider said how long
        LLMUnavailable         llm_unavailable    no connection, 5xx, overloaded, the breaker is open
          LLMCut               llm_cut            the stream ended before it was finished
          BreakerOpen          llm_unavailable    not even asked, after repeated failures (in ``router``)
          NoSlot               llm_unavailable    not even asked, as others' streams took every slot (in ``slots``)
        LLMRefused             llm_refused        the model will not answer this: content, sign-in, any other 4xx
        LLMMalformed           llm_malformed      the answer is not what the protocol says
          LLMTooLarge          llm_too_large      a line or the reply is larger than its bound
        LLMHeldBack            content_blocked    what was to go to a model, or came of it, breaks a rule of the service
        LLMUnjudged            moderation_unavailable   nobody can tell whether it does, and that fails closed

The details name the model, never a key, a prompt or the text of an answer.
"""

import math
import re
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from chatbot_project.lib.errors import ApplicationError


class LLMError(ApplicationError):
    """A model did not answer as it should.

    ``retryable``: the same request may succeed on another try. ``counts``: it says something about the health of the
    provider, so that the circuit breaker counts it. ``wait`` are the seconds the provider asked to be left alone,
    ``None`` where it did not say; ``retry_after`` is the same in whole seconds.
    """

    code_name: ClassVar[str] = "llm_error"
    http_status: ClassVar[int] = 502
    retryable: bool = False
    counts: ClassVar[bool] = True

    def __init__(self, detail: str, *, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(
            self.code_name, detail, self.http_status, retry_after=None if wait is None else math.ceil(wait)
        )


class LLMTimeout(LLMError):
    """A deadline passed. Not worth another try of the same model, except where nothing but the connection was slow."""

    code_name = "llm_timeout"
    http_status = 504

    def __init__(self, detail: str, *, retryable: bool = False) -> None:
        super().__init__(detail)
        self.retryable = retryable


class LLMRateLimited(LLMError):
    """The provider asks for fewer requests."""

    code_name = "llm_rate_limited"
    http_status = 503
    retryable = True
    counts = False


class LLMUnavailable(LLMError):
    """Nobody answers there, or only with an error of its own."""

    code_name = "llm_unavailable"
    http_status = 503
    retryable = True


class LLMCut(LLMUnavailable):
    """The stream ended without a finish reason: what arrived is a part, never the whole."""

    code_name = "llm_cut"


class LLMRefused(LLMError):
    """The provider understood and said no; asking the same again changes nothing."""

    code_name = "llm_refused"
    counts = False


class LLMMalformed(LLMError):
    """The answer does not follow the protocol."""

    code_name = "llm_malformed"
    retryable = True


class LLMTooLarge(LLMMalformed):
    """A line or a reply passed its bound and was not read further."""

    code_name = "llm_too_large"
    retryable = False


class LLMHeldBack(LLMError):
    """The gate let a text not pass, whichever way it went."""

    code_name = "content_blocked"
    http_status = 400
    counts = False

    def __init__(self) -> None:
        super().__init__(_("This breaks a rule of this service."))


class LLMUnjudged(LLMError):
    """The gate cannot judge a text just now."""

    code_name = "moderation_unavailable"
    http_status = 503
    counts = False

    def __init__(self) -> None:
        super().__init__(_("Texts cannot be checked just now. Try again in a minute."))


def error_from_status(model: str, status: int, body: Any, wait: float | None = None) -> LLMError:
    """The error for an answer with ``status`` other than 200. ``body`` is its decoded JSON, or ``None``."""
    reason = _reason(body.get("error", body) if isinstance(body, dict) else None)
    what = f"{model} answered {status}{f' ({reason})' if reason else ''}."
    if status == 429 and reason != "insufficient_quota":
        return LLMRateLimited(what, wait=wait)
    if status in {408, 504}:
        return LLMTimeout(what, retryable=True)
    if status in {409, 425} or status >= 500:
        return LLMUnavailable(what, wait=wait)
    if 300 <= status < 400:
        return LLMRefused(f"{model} answered with a redirect, which is never followed.")
    if status >= 400:
        return LLMRefused(what)
    return LLMMalformed(what)


def error_from_event(model: str, error: Any) -> LLMError:
    """The error for an error object within a stream, or in place of one: a text, or an object with code and type."""
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    status = error.get("code", error.get("status")) if isinstance(error, dict) else None
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status[:4])
    if isinstance(status, int) and 400 <= status < 600:
        return error_from_status(model, status, {"error": error})
    reason = _reason(error)
    what = f"{model} reported an error{f' ({reason})' if reason else ''}."
    if "rate_limit" in reason:
        return LLMRateLimited(what)
    if any(word in reason for word in ("invalid", "content", "policy", "permission", "auth", "not_found", "quota")):
        return LLMRefused(what)
    return LLMUnavailable(what)


def _reason(error: Any) -> str:
    """The error's code or type where it is a plain identifier. Its message is never used: it may hold a key or a
    prompt.
    """
    if isinstance(error, dict):
        for name in ("code", "type"):
            value = error.get(name)
            if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]{0,63}", value, re.ASCII):
                return value
    return ""
