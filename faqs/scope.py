"""What a set of filters leaves, remembered per process: how many phrasings, which FAQs, in which languages.

Only how the search goes about depends on it. What may be shown is decided by PostgreSQL, for every question anew.
"""

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from chatbot_project.lib.db import fetch_prepared
from faqs.first_stage import STATE, STATE_COLUMNS, Filters, State, allowed, with_clause
from faqs.languages import is_language

REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """``faqs`` are id, translation group and language of what the filters leave, ``languages`` theirs, the most
    frequent first; ``until`` is when the next one begins or ceases to be valid. ``total`` counts everybody's phrasings.
    """

    state: State
    model_name: str
    dimensions: int
    faqs: tuple[tuple[str, str, str], ...]
    phrasings: int
    total: int
    until: datetime | None
    languages: tuple[str, ...]
    _labels: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)

    def labels(self, language: str) -> frozenset[str]:
        """The ids of the FAQs for a reader of ``language``: those in it, and those that have no translation into it."""
        known = self._labels.get(language)
        if known is None:
            own = {group for _, group, code in self.faqs if is_language(code, language)}
            known = frozenset(faq for faq, group, code in self.faqs if is_language(code, language) or group not in own)
            self._labels[language] = known
        return known

    def is_current(self, state: State) -> bool:
        """Whether nothing has changed since it was read."""
        return self.state == state and state.written is not None and not self.has_run_out()

    def has_run_out(self) -> bool:
        return self.until is not None and self.until <= datetime.now(UTC)


_SCOPE = """
    , permitted AS MATERIALIZED (SELECT f.id, f.translation_group, f.language FROM faqs_faq f WHERE {allowed})
    SELECT {state}, coalesce(model.name, ''), coalesce(model.dimensions, 0),
           (SELECT array_agg(ARRAY[id::text, translation_group::text, language]) FROM permitted),
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
    faqs = tuple((faq, group, language) for faq, group, language in row[8] or ())
    frequent = Counter(language for _, _, language in faqs)
    languages = tuple(sorted(frequent, key=lambda language: (-frequent[language], language)))
    phrasings, total, until = row[9:]
    scope = Scope(State(*row[:6]), row[6], row[7], faqs, phrasings, total, until, languages)
    with _lock:
        _known[filters] = scope
        _known.move_to_end(filters)
        while len(_known) > REMEMBERED:
            _known.popitem(last=False)
    return scope
