"""The figures of one person, of a conversation and of the API's dashboard: their names, and how they are counted in the
rows of facts.py. A figure of several days is not the sum of theirs where people or percentiles are concerned."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Endings(NamedTuple):
    """Replies by how they ended. ``live`` ones have not."""

    completed: int = 0
    stopped: int = 0
    interrupted: int = 0
    failed: int = 0
    live: int = 0


class Tokens(NamedTuple):
    """Of models, for all replies. ``estimated`` are those of both kinds that a provider did not count itself."""

    prompt: int = 0
    completion: int = 0
    estimated: int = 0


class Thumbs(NamedTuple):
    """What people thought of these replies, whenever they said so."""

    helpful: int = 0
    not_helpful: int = 0


class Sources(NamedTuple):
    """Replies for which the FAQ was asked, by what they came from (``Message.Source``)."""

    model: int = 0
    faq: int = 0
    faq_offline: int = 0
    unknown: int = 0


class FirstToken(NamedTuple):
    """Seconds from a reply's being queued to its first token, of the ``replies`` that have one. The percentiles are
    interpolated between the two nearest; null where there is none."""

    replies: int = 0
    median: float | None = None
    p95: float | None = None


class Figures(NamedTuple):
    """Everything by the day on which it began: a reply, its tokens and its feedback count on the day on which it was
    asked for. ``active_people`` have asked a question."""

    conversations: int = 0
    questions: int = 0
    active_people: int = 0
    replies: Endings = Endings()
    tokens: Tokens = Tokens()
    feedback: Thumbs = Thumbs()
    sources: Sources = Sources()
    first_token: FirstToken = FirstToken()


def _replies(condition: str) -> str:
    return f"count(*) FILTER (WHERE role = 'assistant' AND {condition})"


def _tokens(expression: str, condition: str = "true") -> str:
    return f"coalesce(sum({expression}) FILTER (WHERE {condition}), 0)"


BOTH_TOKENS = "coalesce(prompt_tokens, 0) + coalesce(completion_tokens, 0)"
#: SQL over rows of ``SAID_BY_ONE``, by name: the parts of one figure stand together, in the order of their class.
COUNTED: Mapping[str, tuple[str, ...]] = {
    "questions": ("count(*) FILTER (WHERE role = 'user')",),
    "replies": (
        _replies("status = 'completed'"),
        _replies("status = 'stopped'"),
        _replies("status = 'interrupted'"),
        _replies("status = 'failed'"),
        _replies("status IN ('queued', 'streaming')"),
    ),
    "tokens": (_tokens("prompt_tokens"), _tokens("completion_tokens"), _tokens(BOTH_TOKENS, "usage_estimated")),
    "feedback": (_replies("feedback = 1"), _replies("feedback = -1")),
}
#: The same, of figures that are not wanted of a single conversation.
COUNTED_BY_DAY: Mapping[str, tuple[str, ...]] = {
    **COUNTED,
    "active_people": ("count(DISTINCT person) FILTER (WHERE role = 'user')",),
    "sources": (
        _replies("source = 'model'"),
        _replies("source = 'faq'"),
        _replies("source = 'faq_offline'"),
        _replies("source = 'unknown'"),
    ),
    "first_token": (
        "count(first_token)",
        "round((percentile_cont(0.5) WITHIN GROUP (ORDER BY first_token))::numeric, 3)::float8",
        "round((percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token))::numeric, 3)::float8",
    ),
}
_CLASSES: Mapping[str, Any] = {
    "replies": Endings,
    "tokens": Tokens,
    "feedback": Thumbs,
    "sources": Sources,
    "first_token": FirstToken,
}
#: Of a conversation without messages.
NOTHING_COUNTED: Mapping[str, Any] = {name: _CLASSES[name]() if name in _CLASSES else 0 for name in COUNTED}


def columns_of(counted: Mapping[str, tuple[str, ...]]) -> str:
    """The figures ``counted`` as columns of a SELECT."""
    return ",\n       ".join(expression for parts in counted.values() for expression in parts)


def read_figures(counted: Mapping[str, tuple[str, ...]], values: Iterator[Any]) -> dict[str, Any]:
    """The figures that such columns hold, by name."""
    found: dict[str, Any] = {}
    for name, parts in counted.items():
        row = [next(values) for _part in parts]
        found[name] = _CLASSES[name](*row) if name in _CLASSES else row[0]
    return found
