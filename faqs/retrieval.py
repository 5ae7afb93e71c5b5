"""Which FAQs answer a question. ``search_faqs`` is the public entry; ``find_answer`` says as well how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings

from chatbot_project.lib.text import clean_text
from faqs.embedding import EmbeddingError, embedder
from faqs.first_stage import Content, Filters, State, find_candidates, read_contents
from faqs.languages import detect_language, search_configuration
from faqs.matching import ask_matcher, load_matcher
from faqs.ranking import Candidate, Opinion, Ranked, by_opinion, estimate, rank_candidates
from faqs.scope import Scope, read_scope, scope_of

if TYPE_CHECKING:
    import numpy as np

log = structlog.get_logger(__name__)

MAX_QUERY = 1000  # characters of a question that are looked at
FEW_PHRASINGS = 2000  # up to so many, comparing with each is faster than walking an index, and never misses one
SPARE = 3  # FAQs read beyond the limit, for those that were withdrawn meanwhile or are translations of each other


@dataclass(frozen=True, slots=True)
class FAQMatch:
    """An FAQ that may answer. ``score`` is vector and words fused, 0..1; ``dense`` the cosine and ``words`` the share
    of the question's words, None where unknown; ``confidence`` the probability that this FAQ answers the question;
    ``phrasing`` is the way to ask it that is nearest."""

    faq: UUID
    question: str
    answer: str
    language: str
    category: UUID | None
    version: int
    score: float
    dense: float | None
    words: float | None
    confidence: float
    phrasing: str


@dataclass(slots=True)
class Found:
    """``outside`` is the probability that no FAQ answers. ``vector`` is the question's, by the embedding model in
    force; None where there is none. ``language`` is the question's."""

    matches: list[FAQMatch] = field(default_factory=list)
    outside: float = 1.0
    vector: "np.ndarray | None" = None
    matcher_used: bool = False
    language: str = ""

    @property
    def best(self) -> FAQMatch | None:
        return self.matches[0] if self.matches else None

    @property
    def is_below_floor(self) -> bool:
        """Whether the assistant has to say that it does not know (FAQ_FLOOR)."""
        return self.best is None or 1 - self.outside < settings.FAQ_FLOOR


def search_faqs(
    query: str,
    *,
    visibilities: Sequence[str],
    categories: Sequence[UUID | str] | None = None,
    language: str | None = None,
    limit: int = 5,
) -> list[FAQMatch]:
    """The FAQs that answer ``query`` best, at most ``limit``, the best first: see ``find_answer``."""
    return find_answer(query, visibilities=visibilities, categories=categories, language=language, limit=limit).matches


def find_answer(
    query: str,
    *,
    visibilities: Sequence[str],
    categories: Sequence[UUID | str] | None = None,
    language: str | None = None,
    limit: int = 5,
) -> Found:
    """What the knowledge holds on ``query``: only what is published, valid now, meant for one of ``visibilities``
    (accounts.audience), and within ``categories`` (ids or slugs, with all below them; None or none: everywhere).

    FAQs in ``language``, else in the question's own, come before equally good ones in others. Blocking: two queries,
    one more after a change of the knowledge. Raises Django's database errors; an embedding model that does not answer
    leaves the search by words.
    """
    query = clean_text(query[: 2 * MAX_QUERY])[:MAX_QUERY].strip()
    if not query or limit < 1 or not visibilities:
        return Found(language=language or "")
    search = _Search(query, Filters(_sorted(visibilities), _sorted(categories) or None), language)
    return search.run(limit)


def _sorted(values: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in values or ()}))


class _Search:
    """One question's way through the stages."""

    def __init__(self, query: str, filters: Filters, language: str | None) -> None:
        self.query = query
        self.filters = filters
        self.asked_language = language
        self.vector: np.ndarray | None = None
        self._prepare(scope_of(filters))

    def _prepare(self, scope: Scope) -> None:
        """Make the question comparable within ``scope``: its language, and its vector by the model in force."""
        self.scope = scope
        self.language = self.asked_language or _language_of(self.query, scope)
        self.vector = _vector_of(self.query, scope)

    def run(self, limit: int) -> Found:
        state, candidates = self._candidates()
        ranked = rank_candidates(candidates, language=self.language)
        confidences, outside = estimate(ranked)
        opinion = self._opinion(state)
        if opinion is not None:
            ranked, confidences, outside = by_opinion(ranked, opinion, limit=limit + SPARE)
        contents = self._contents(ranked[: limit + SPARE])
        matches = [
            _match(one, contents[one.faq], confidence)
            for one, confidence in zip(ranked, confidences, strict=True)
            if one.faq in contents
        ]
        if not matches:
            outside = 1.0
        return Found(matches[:limit], outside, self.vector, opinion is not None, self.language)

    def _candidates(self) -> tuple[State, list[Candidate]]:
        """The first stage. The same statement says which knowledge is in force: a model that was switched since the
        question was embedded shows, and the question is asked again."""
        for attempt in (1, 2):
            scope = self.scope
            state, candidates = find_candidates(
                query=self.query,
                vector=self.vector,
                model=scope.state.model or 0,
                configuration=search_configuration(self.language),
                filters=self.filters,
                phrasings=scope.total,
                exact=scope.phrasings <= FEW_PHRASINGS,
            )
            if state.model == scope.state.model or attempt == 2:
                break
            self._prepare(read_scope(self.filters))
        return state, candidates

    def _opinion(self, state: State) -> Opinion | None:
        """What the matcher in force says; None where it does not know all that is in force, or there is none."""
        matcher_id = state.fresh_matcher
        if matcher_id is None or self.vector is None or self.scope.state.model != state.model:
            return None
        if not self.scope.is_current(state):
            self.scope = read_scope(self.filters)
            if not self.scope.is_current(state):
                return None
        matcher = load_matcher(matcher_id)
        if matcher is None:
            return None
        return ask_matcher(matcher, self.query, self.vector, self.scope.labels(self.language))

    def _contents(self, ranked: Sequence[Ranked]) -> dict[UUID, Content]:
        """What the best say now, by the FAQ that was ranked; of two that are the same FAQ in the end, the first."""
        if not ranked:
            return {}
        found = read_contents(
            wanted=[(one.faq, one.phrasing) for one in ranked],
            vector=self.vector,
            model=self.scope.state.model or 0,
            filters=self.filters,
            language=self.language,
            translate=len(self.scope.languages) > 1,
        )
        by_asked = {content.asked: content for content in found}
        shown: dict[UUID, Content] = {}
        for one in ranked:
            content = by_asked.get(one.faq)
            if content is not None and all(content.group != other.group for other in shown.values()):
                shown[one.faq] = content
        return shown


def _language_of(query: str, scope: Scope) -> str:
    """The language ``query`` is written in, out of those there are FAQs in; the most frequent one where unclear."""
    default = scope.languages[0] if scope.languages else settings.LANGUAGE_CODE
    return detect_language(query, among=scope.languages, default=default)


def _vector_of(query: str, scope: Scope) -> "np.ndarray | None":
    if scope.state.model is None:
        return None
    try:
        vector: np.ndarray = embedder(scope.model_name).embed([query])[0]
    except EmbeddingError as error:
        log.warning("retrieval.without_vector", model=scope.model_name, code=error.code)
        return None
    if len(vector) != scope.dimensions:
        log.warning("retrieval.without_vector", model=scope.model_name, code="dimensions")
        return None
    return vector


def _match(ranked: Ranked, content: Content, confidence: float) -> FAQMatch:
    return FAQMatch(
        faq=content.faq,
        question=content.question,
        answer=content.answer,
        language=content.language,
        category=content.category,
        version=content.version,
        score=ranked.score,
        dense=ranked.dense if ranked.dense is not None else content.dense,
        words=ranked.words,
        confidence=confidence,
        phrasing=content.phrasing,
    )
