"""What a set of filters leaves, remembered per process: how many phrasings, which FAQs, in which languages.

Only how the search goes about depends on it. What may be shown is decided by PostgreSQL, for every question anew.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chatbot_project.lib.db import fetch_prepared
from faqs.first_stage import STATE, STATE_COLUMNS, Filters, State, allowed, with_clause

REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """``labels`` are the ids of the FAQs that the filters leave, as text; ``until`` is when the next one begins or
    ceases to be valid. ``total`` counts the phrasings of everybody."""

    state: State
    model_name: str
    dimensions: int
    labels: frozenset[str]
    languages: tuple[str, ...]
    phrasings: int
    total: int
    until: datetime | None

    def is_current(self, state: State) -> bool:
        """Whether nothing has changed since it was read."""
        return self.state.revision == state.revision and self.state.model == state.model and not self.has_run_out()

    def has_run_out(self) -> bool:
        return self.until is not None and self.until <= datetime.now(UTC)


_SCOPE = """
    , permitted AS MATERIALIZED (SELECT f.id, f.language FROM faqs_faq f WHERE {allowed})
    SELECT {state}, coalesce(model.name, ''), coalesce(model.dimensions, 0),
           (SELECT array_agg(id) FROM permitted),
           (SELECT array_agg(language ORDER BY n DESC, language)
            FROM (SELECT language, count(*) AS n FROM permitted GROUP BY language) AS l),
           (SELECT count(*) FROM faqs_phrasing p JOIN permitted ON permitted.id = p.faq_id),
           (SELECT count(*) FROM faqs_phrasing),
           (SELECT min(change) FROM (
                SELECT min(valid_from) AS change FROM faqs_faq
                WHERE status = 'published' AND valid_from > statement_timestamp()
                UNION ALL
                SELECT min(valid_until) FROM faqs_faq
                WHERE status = 'published' AND valid_until > statement_timestamp()
           ) AS changes)
    FROM state LEFT JOIN faqs_embeddingmodel model ON model.id = state.model_id"""

_lock = threading.Lock()
_known: OrderedDict[Filters, Scope] = OrderedDict()


def scope_of(filters: Filters) -> Scope:
    """What is remembered of ``filters`` and has not run out; read where there is nothing. At most one query."""
    with _lock:
        known = _known.get(filters)
    return known if known is not None and not known.has_run_out() else read_scope(filters)


def read_scope(filters: Filters) -> Scope:
    """What ``filters`` leave now, remembered. One query."""
    sql = with_clause(filters) + STATE + _SCOPE.format(allowed=allowed("f", filters), state=STATE_COLUMNS)
    row = fetch_prepared(sql, filters.as_parameters())[0]
    labels: list[UUID] = row[7] or []
    scope = Scope(State(*row[:5]), row[5], row[6], frozenset(map(str, labels)), tuple(row[8] or ()), *row[9:])
    with _lock:
        _known[filters] = scope
        _known.move_to_end(filters)
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return scope
