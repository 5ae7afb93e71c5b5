"""The matcher in force: trained from what is published, stored as arrays, loaded once per process."""

import threading
from collections.abc import Set
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

from faqs.models import TrainedMatcher
from faqs.ranking import Opinion

if TYPE_CHECKING:
    import numpy as np

log = structlog.get_logger(__name__)

KEPT = 2  # the one in force, and the one before it, which a process may be loading

_lock = threading.Lock()
_loaded: dict[UUID, Any] = {}


def load_matcher(matcher_id: UUID) -> Any:
    """The stored matcher ``matcher_id``, read from the database once per process; None where it is gone or cannot be
    used. A process keeps the last one that it used."""
    with _lock:  # one thread loads, the others wait for it: the arrays are large
        if matcher_id not in _loaded:
            arrays = TrainedMatcher.objects.filter(pk=matcher_id).values_list("arrays", flat=True).first()
            _loaded.clear()
            _loaded[matcher_id] = None if arrays is None else _from_bytes(matcher_id, bytes(arrays))
        return _loaded[matcher_id]


def _from_bytes(matcher_id: UUID, arrays: bytes) -> Any:
    from faqs.matcher import Matcher

    try:
        return Matcher.from_bytes(arrays)
    except ValueError as error:
        log.error("matcher.unreadable", matcher=str(matcher_id), error=str(error))
        return None


def ask_matcher(matcher: Any, query: str, vector: "np.ndarray", labels: Set[str]) -> Opinion | None:
    """The matcher's opinion among the FAQs ``labels``; None where it knows none of them."""
    ranking = matcher.rank(query, vector, candidates=labels)
    faqs = [(UUID(label), probability) for label, probability in ranking.labels]
    return Opinion(faqs, ranking.outside, ranking.confidence) if faqs else None
