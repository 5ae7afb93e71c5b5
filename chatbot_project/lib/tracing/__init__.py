"""Traces of questions, for whoever sets TRACING: web's acceptance, the wait, the reply worker's steps and the
background tasks that it sends are spans of one trace.

Off, nothing of OpenTelemetry is imported and each call below is one comparison. Which questions are traced, and the ids
of a trace and of its first span, follow from the reply's id (``Identity``): so nothing has to be stored with the queue,
and a reply that another worker goes on with stays in its trace. Spans say ids, names, counts and times; of what
breaks, the class alone.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from time import time_ns
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from .exporting import Exporter

_exporter: "Exporter | None" = None
_began: ContextVar[int | None] = ContextVar("began", default=None)


@dataclass(frozen=True, slots=True)
class Identity:
    """What follows from a reply's id: the ids of its trace and of the trace's first span, and ``place``, evenly spread
    over [0, 1), below which share of questions it is traced."""

    trace_id: int
    span_id: int
    place: float

    @classmethod
    def of(cls, reply: UUID) -> "Identity":
        """A digest: a UUIDv7 itself is time, which sampling by its bits would follow."""
        digest = blake2b(reply.bytes, digest_size=32).digest()
        number = int.from_bytes
        return cls(number(digest[:16]) or 1, number(digest[16:24]) or 1, number(digest[24:]) / 2**64)


class Span:
    """A step while it is worked on; this one is of no trace."""

    def note(self, event: str) -> None:
        """``event`` happened now."""

    def say(self, **attributes: str | float | None) -> None:
        """What there is to know of the step; None is left out."""


NOTHING = Span()
_NOTHING = nullcontext(NOTHING)


def start(process: str) -> None:
    """From now on this process, which is a ``process``, sends spans where TRACING asks for any. Once, at its start.

    Raises ImproperlyConfigured where OpenTelemetry is not installed."""
    global _exporter
    if not settings.TRACING or _exporter is not None:
        return
    try:
        from .exporting import Exporter
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured("TRACING needs what requirements-tracing.txt names; install it.") from error
    _exporter = Exporter(process)


def stop() -> None:
    """Send what there is, and no more. A process that ends does so by itself."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter is not None:
        exporter.close()


@contextmanager
def request_began() -> Iterator[None]:
    """What is accepted within the block was asked for now."""
    if _exporter is None:
        yield
        return
    token = _began.set(time_ns())
    try:
        yield
    finally:
        _began.reset(token)


def question_accepted(reply: UUID, *, again: bool) -> None:
    """The first span of a trace: from the request or command until its reply was queued; ``again`` for one that goes on
    or is queued once more, whose trace there is."""
    if _exporter is not None and (identity := _traced(reply)) is not None:
        _exporter.accepted(identity, reply, began=_began.get() or time_ns(), again=again)


def reply_taken_up(reply: UUID, *, waited: float | None, epoch: int) -> AbstractContextManager[Span]:
    """The span of a worker's work on ``reply``, with one for the seconds that it ``waited``."""
    if _exporter is None or (identity := _traced(reply)) is None:
        return _NOTHING
    return _exporter.taken_up(identity, reply, waited=waited, epoch=epoch)


def step(name: str) -> AbstractContextManager[Span]:
    """A span below the one that this code runs in; nothing where that is of no trace."""
    return _NOTHING if _exporter is None else _exporter.step(name) or _NOTHING


def carried() -> dict[str, str]:
    """What a message to another process carries, so that its work joins this trace: W3C Trace Context."""
    return {} if _exporter is None else _exporter.carried()


def task(name: str, carried: Any) -> AbstractContextManager[Span]:
    """The span of a background task, below the span whose ``carried`` it came with."""
    return _NOTHING if _exporter is None else _exporter.task(name, carried) or _NOTHING


def _traced(reply: UUID) -> Identity | None:
    identity = Identity.of(reply)
    return identity if identity.place < settings.TRACING else None
