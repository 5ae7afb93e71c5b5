"""The first stage of retrieval, in SQL: which phrasings are near a question, and the FAQs as they stand now.

Every filter stands inside the statements, before their limits: what a reader may not have never leaves PostgreSQL, and
never takes the place of what they may. Both statements look at what is committed when they run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from chatbot_project.lib.db import fetch_prepared
from faqs.ranking import Candidate

if TYPE_CHECKING:
    import numpy as np

NEAREST = 100  # phrasings by their vectors
BY_WORDS = 50  # phrasings by their words
MAX_WORDS = 16  # of the question
# Words are looked up rarest first, as long as together they stand in no more phrasings than this.
MAX_POSTINGS = 400
MAX_COUNT = 1000  # from here on one word is as common as another


@dataclass(frozen=True, slots=True)
class Filters:
    """Whose knowledge is searched. ``categories`` are ids or slugs, with all below them; None is all."""

    visibilities: tuple[str, ...]
    categories: tuple[str, ...] | None

    def as_parameters(self) -> dict[str, Any]:
        return {"visibilities": list(self.visibilities), "categories": list(self.categories or ())}


@dataclass(frozen=True, slots=True)
class State:
    """Which knowledge is in force, as one statement saw it."""

    revision: int
    model: int | None
    matcher: UUID | None
    matcher_revision: int | None
    matcher_model: int | None
    # The transaction that wrote the state: revisions alone begin anew in a database that was restored.
    written: str | None

    @property
    def fresh_matcher(self) -> UUID | None:
        """The matcher in force where it knows all that is published, by the vectors in force; else None."""
        is_fresh = self.matcher_revision == self.revision and self.matcher_model == self.model
        return self.matcher if is_fresh else None


@dataclass(frozen=True, slots=True)
class Content:
    """An FAQ as it stands, with the phrasing that is nearest to the question."""

    faq: UUID
    question: str
    answer: str
    language: str
    category: UUID | None
    version: int
    group: UUID
    asked: UUID  # the FAQ that was asked for; another where this one is its translation
    phrasing: str
    dense: float | None
    words: float | None  # the share of the question's words that the phrasing holds


STATE_COLUMNS = """
    state.revision, state.model_id, state.matcher_id, state.matcher_revision, state.matcher_model_id, state.written"""
STATE = """
    state AS MATERIALIZED (
        SELECT coalesce(s.revision, 1) AS revision, s.model_id, s.matcher_id,
               m.revision AS matcher_revision, m.model_id AS matcher_model_id, s.xmin::text AS written
        FROM (VALUES (1)) AS one (id)
        LEFT JOIN faqs_knowledgestate s ON s.id = one.id
        LEFT JOIN faqs_trainedmatcher m ON m.id = s.matcher_id
    )"""
TREE = """
    tree AS (
        SELECT id FROM faqs_category WHERE slug = ANY(%(categories)s::text[]) OR id::text = ANY(%(categories)s::text[])
        UNION SELECT below.id FROM faqs_category below JOIN tree ON below.parent_id = tree.id
    ),"""


def allowed(alias: str, filters: Filters) -> str:
    """The condition that the FAQ ``alias`` is in force, meant for the reader, and within the categories."""
    within = "" if filters.categories is None else f"AND {alias}.category_id IN (SELECT id FROM tree)"  # noqa: S608
    return f"""{alias}.status = 'published'
        AND ({alias}.valid_from IS NULL OR {alias}.valid_from <= statement_timestamp())
        AND ({alias}.valid_until IS NULL OR {alias}.valid_until > statement_timestamp())
        AND {alias}.visibility = ANY(%(visibilities)s::text[]) {within}"""


def with_clause(filters: Filters) -> str:
    return "WITH RECURSIVE" + (TREE if filters.categories is not None else "")


def as_literal(vector: "np.ndarray | list[float]") -> str:
    """A vector as pgvector reads it."""
    numbers = vector if isinstance(vector, list) else vector.tolist()
    return "[" + ",".join(map(repr, numbers)) + "]"


# The nearest phrasings, by walking the model's index. Each one's FAQ is looked up as the walk comes by, and the walk
# goes on until enough are allowed (hnsw.iterative_scan). OFFSET 0 keeps the planner from joining first, which it would
# price wrongly: it takes a phrasing's id and hash for independent.
_NEAR_BY_INDEX = """
    near AS MATERIALIZED (
        SELECT e.phrasing_id AS id
        FROM faqs_embedding e
        CROSS JOIN LATERAL (
            SELECT 1 FROM faqs_phrasing p JOIN faqs_faq f ON f.id = p.faq_id
            WHERE p.id = e.phrasing_id AND p.text_hash = e.text_hash AND {allowed} OFFSET 0
        ) AS permitted
        WHERE e.model_id = {model}
        ORDER BY e.vector::halfvec({d}) <=> %(vector)s::vector({d})::halfvec({d}) LIMIT {nearest}
    ),"""
# The same by comparing with every phrasing that is allowed: right where these are few.
_NEAR_EXACT = """
    near AS MATERIALIZED (
        SELECT p.id
        FROM faqs_faq f
        JOIN faqs_phrasing p ON p.faq_id = f.id
        JOIN faqs_embedding e ON e.phrasing_id = p.id AND e.model_id = {model} AND e.text_hash = p.text_hash
        WHERE {allowed}
        ORDER BY e.vector <=> %(vector)s::vector({d}), p.id LIMIT {nearest}
    ),"""
_NO_VECTOR = " near AS (SELECT NULL::uuid AS id WHERE false),"
_EMBEDDING = """
    LEFT JOIN faqs_embedding e ON e.phrasing_id = p.id AND e.model_id = {model} AND e.text_hash = p.text_hash"""
_COSINE = "1 - (e.vector <=> %(vector)s::vector({d}))"

# How the index is walked: pgvector's own 40 finds too few of the nearest, and stops where a filter leaves nothing.
WALK = {"hnsw.ef_search": "120", "hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": "40000"}
_WALK_NOW = "current_setting('hnsw.ef_search', true) IS NOT DISTINCT FROM '120'"


def _set_walk(*, for_transaction: bool) -> str:
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', {for_transaction})" for name, value in WALK.items())


_SET_WALK, _SET_WALK_FOR_TRANSACTION = _set_walk(for_transaction=False), _set_walk(for_transaction=True)

_CANDIDATES = """
    question AS (
        SELECT lexeme, plainto_tsquery('simple', lexeme) AS query
        FROM unnest(tsvector_to_array(to_tsvector(%(config)s::regconfig, %(query)s))) AS lexeme LIMIT {max_words}
    ),
    counted AS MATERIALIZED (
        SELECT query, (
            SELECT count(*) FROM (
                SELECT 1 FROM faqs_phrasing p WHERE p.search @@ question.query LIMIT {max_count}
            ) AS counted_up_to
        ) AS phrasings FROM question
    ),
    words AS MATERIALIZED (
        SELECT query, ln(1 + %(phrasings)s::float8 / (phrasings + 0.5)) AS weight, phrasings,
               sum(phrasings) OVER (ORDER BY phrasings, query::text) AS postings
        FROM counted
    ),
    worded AS MATERIALIZED (
        SELECT p.id
        FROM words
        JOIN faqs_phrasing p ON p.search @@ words.query
        JOIN faqs_faq f ON f.id = p.faq_id
        WHERE words.postings <= {max_postings} AND {allowed}
        GROUP BY p.id ORDER BY sum(words.weight) DESC, p.id LIMIT {by_words}
    ),
    found AS (
        SELECT f.id AS faq_id, p.id, f.translation_group, f.language, {cosine} AS cosine,
               (SELECT sum(weight) FROM words WHERE p.search @@ words.query)
                   / (SELECT sum(weight) FROM words) AS words
        FROM (SELECT id FROM near UNION SELECT id FROM worded) AS either
        JOIN faqs_phrasing p ON p.id = either.id
        JOIN faqs_faq f ON f.id = p.faq_id
        {embedding}
    )
    SELECT {state}, {walk_now}, (SELECT count(*) FROM near),
           found.faq_id, found.id, found.translation_group, found.language, found.cosine, found.words
    FROM state LEFT JOIN found ON true"""


def find_candidates(
    *,
    query: str,
    vector: "np.ndarray | None",
    model: int,
    configuration: str,
    filters: Filters,
    phrasings: int,
    exact: bool,
) -> tuple[State, list[Candidate]]:
    """The state of the knowledge and the phrasings near ``query``, seen by one statement.

    ``phrasings`` is about how many there are, for the words' rarity; ``exact`` compares with all that the filters
    leave instead of walking the model's index.
    """
    condition = allowed("f", filters)
    if vector is None:
        near, cosine, embedding = _NO_VECTOR, "NULL::float8", ""
    else:
        d = len(vector)
        near = (_NEAR_EXACT if exact else _NEAR_BY_INDEX).format(model=model, allowed=condition, d=d, nearest=NEAREST)
        cosine, embedding = _COSINE.format(d=d), _EMBEDDING.format(model=model)
    found = _CANDIDATES.format(
        allowed=condition, cosine=cosine, embedding=embedding, state=STATE_COLUMNS, walk_now=_WALK_NOW,
        max_words=MAX_WORDS, max_count=MAX_COUNT, max_postings=MAX_POSTINGS, by_words=BY_WORDS,
    )  # fmt: skip
    parameters = filters.as_parameters() | {"query": query, "config": configuration, "phrasings": max(1, phrasings)}
    if vector is not None:
        parameters["vector"] = as_literal(vector)
    statement = with_clause(filters) + STATE + "," + near + found
    if vector is None:
        rows = fetch_prepared(statement, parameters)
    elif exact:
        # Planned for these filters each time: a plan for any audience would read the vectors of all.
        rows = _fetch(statement, parameters)
    else:
        rows = _walked(statement, parameters)
        if rows[0][7] < NEAREST:  # the walk gave up before it had met enough that is allowed
            return find_candidates(
                query=query, vector=vector, model=model, configuration=configuration, filters=filters,
                phrasings=phrasings, exact=True,
            )  # fmt: skip
    return State(*rows[0][:6]), [Candidate(*row[8:]) for row in rows if row[8] is not None]


def _walked(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement that walks the index, with the settings of WALK in force."""
    if settings.DATABASE_TRANSACTION_POOLER:
        with transaction.atomic():  # the session is others' next, and another one every time
            fetch_prepared(_SET_WALK_FOR_TRANSACTION, {})
            return fetch_prepared(sql, parameters)
    rows = fetch_prepared(sql, parameters)
    if not rows[0][6]:
        # A connection's first search: settings of a session cost no round trip later on, settings of a transaction
        # would cost some each time.
        fetch_prepared(_SET_WALK, {})
        rows = fetch_prepared(sql, parameters)
    return rows


def _fetch(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


_CONTENTS = """
    , question AS MATERIALIZED (
        SELECT plainto_tsquery('simple', lexeme) AS query
        FROM unnest(tsvector_to_array(to_tsvector(%(config)s::regconfig, %(query)s))) AS lexeme LIMIT {max_words}
    ),
    wanted AS (SELECT * FROM unnest(%(faqs)s::uuid[], %(phrasings)s::uuid[]) AS w (faq_id, phrasing_id)),
    found AS (
        SELECT shown.id, shown.question, shown.answer, shown.language, shown.category_id, shown.version,
               shown.translation_group, f.id AS asked, coalesce(best.text, shown.question) AS phrasing, best.cosine,
               (SELECT avg((best.search @@ question.query)::int)::float8 FROM question) AS words
        FROM wanted
        JOIN faqs_faq f ON f.id = wanted.faq_id
        CROSS JOIN LATERAL (
            SELECT t.* FROM faqs_faq t
            WHERE {translation} AND {allowed}
            ORDER BY t.language = %(language)s DESC, t.id = f.id DESC, t.id LIMIT 1
        ) AS shown
        LEFT JOIN LATERAL (
            SELECT p.text, p.search, {cosine} AS cosine
            FROM faqs_phrasing p {embedding}
            WHERE p.faq_id = f.id AND (wanted.phrasing_id IS NULL OR p.id = wanted.phrasing_id)
            ORDER BY {order}, p.id LIMIT 1
        ) AS best ON true
    )
    SELECT {state}, found.* FROM state LEFT JOIN found ON true"""


def read_contents(
    *,
    query: str,
    vector: "np.ndarray | None",
    model: int,
    configuration: str,
    filters: Filters,
    wanted: Sequence[tuple[UUID, UUID | None]],
    language: str,
    translate: bool,
) -> tuple[State, list[Content]]:
    """The state of the knowledge, and the FAQs ``wanted`` as they stand in it, in any order, each with the phrasing
    given for it, or else the one nearest to ``query``; what the filters do not allow is left out.

    With ``translate``, an FAQ's translation into ``language`` in its stead.
    """
    d = 0 if vector is None else len(vector)
    sql = _CONTENTS.format(
        allowed=allowed("t", filters),
        translation="t.translation_group = f.translation_group AND t.status <> 'archived'"
        if translate
        else "t.id = f.id",
        cosine="NULL::float8" if vector is None else _COSINE.format(d=d),
        embedding="" if vector is None else _EMBEDDING.format(model=model),
        order="p.kind = 'question' DESC" if vector is None else f"e.vector <=> %(vector)s::vector({d})",
        max_words=MAX_WORDS,
        state=STATE_COLUMNS,
    )
    parameters = filters.as_parameters() | {
        "query": query,
        "config": configuration,
        "faqs": [faq for faq, _ in wanted],
        "phrasings": [phrasing for _, phrasing in wanted],
        "language": language,
    }
    if vector is not None:
        parameters["vector"] = as_literal(vector)
    rows = fetch_prepared(with_clause(filters) + STATE + sql, parameters)
    return State(*rows[0][:6]), [Content(*row[6:]) for row in rows if row[6] is not None]
