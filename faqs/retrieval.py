"""Which FAQs answer a question. ``search_faqs`` is the public entry; ``find_answer`` says as well how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings

from chatbot_project.lib.text import clean_text
from faqs.embedding import EMBEDDED, EmbeddingError, embedder
from faqs.first_stage import Content, Filters, State, find_candidates, read_contents
from faqs.languages import detect_language, search_configuration
from faqs.matching import ask_matcher, load_matcher
from faqs.ranking import (
    Candidate,
    Opinion,
    Ranked,
    as_score,
    between,
    by_opinion,
    estimate,
    estimate_weight,
    rank_candidates,
    strength,
)
from faqs.scope import Scope, read_scope, scope_of
from faqs.texts import same_words

if TYPE_CHECKING:
    import numpy as np

log = structlog.get_logger(__name__)

MAX_QUERY = 1000  # characters of a question that are looked at
FEW_PHRASINGS = 2000  # up to so many, comparing with each is faster than walking an index, and never misses one
TRIES = 2  # of a question that finds the knowledge changed since the one before
# What is sure where somebody asks in the very words of a phrasing.
SURE = 0.99
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
    at_home: bool = False,
) -> Found:
    """What the knowledge holds on ``query``: only what is published, valid now, meant for one of ``visibilities``
    (accounts.audience), and within ``categories`` (ids or slugs, with all below them; None or none: everywhere).

    FAQs in ``language``, else in the question's own, come before equally good ones in others. With ``at_home`` no model
    but the embedded one is shown the question; where another is in force, the search is by words. Blocking: two
    queries, one more after a change of the knowledge. Raises Django's database errors; an embedding model that does not
    answer leaves the search by words.
    """
    query = clean_text(query[: 2 * MAX_QUERY])[:MAX_QUERY].strip()
    if not query or limit < 1 or not visibilities:
        return Found(language=language or "")
    search = _Search(query, Filters(_sorted(visibilities), _sorted(categories) or None), language, at_home=at_home)
    return search.run(limit)


def _sorted(values: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in values or ()}))


class _Search:
    """One question's way: by the matcher in force where it knows all that is in force, else by the first stage.

    What is known of the knowledge comes from an earlier question (``scope``). Each statement says in which state it
    found the knowledge; where that is another one, the question starts anew.
    """

    def __init__(self, query: str, filters: Filters, language: str | None, *, at_home: bool = False) -> None:
        self.query = query
        self.at_home = at_home
        self.filters = filters
        self.asked_language = language
        self._prepare(scope_of(filters))

    def _prepare(self, scope: Scope) -> None:
        """Make the question comparable within ``scope``: its language, and its vector by the model in force."""
        self.scope = scope
        self.language = self.asked_language or _language_of(self.query, scope)
        may_embed = not self.at_home or scope.model_name == EMBEDDED
        self.vector: np.ndarray | None = _vector_of(self.query, scope) if may_embed else None

    def run(self, limit: int) -> Found:
        for _ in range(TRIES):
            found = self._by_matcher(limit)
            if found is not None:
                return found
            state, candidates = self._candidates()
            if self.scope.is_current(state):
                break
            last, scope = self.scope.state, read_scope(self.filters)
            if scope.state.model == last.model and scope.state.fresh_matcher is None:
                self.scope = scope  # for the next question: what was found for this one is as good
                break
            self._prepare(scope)
        ranked = rank_candidates(candidates, language=self.language)
        confidences, outside = estimate(ranked)
        _, contents = self._contents(ranked[: limit + SPARE])
        return self._found(ranked, confidences, outside, contents, limit, matcher_used=False)

    def _by_matcher(self, limit: int) -> Found | None:
        """The answer of the matcher in force; None where none serves, or the knowledge changes all the time."""
        for _ in range(TRIES):
            opinion = self._opinion()
            if opinion is None:
                return None
            ranked, confidences = by_opinion(opinion, limit=limit)
            state, contents = self._contents(ranked)
            if self.scope.is_current(state) and len(contents) == len(ranked):
                confidences, outside = self._tempered(ranked, confidences, opinion.outside, contents)
                return self._found(ranked, confidences, outside, contents, limit, matcher_used=True)
            self._prepare(read_scope(self.filters))
        return None

    def _opinion(self) -> Opinion | None:
        """What the matcher in force says of the FAQs in force; None where none serves."""
        matcher_id = self.scope.state.fresh_matcher
        matcher = None if matcher_id is None or self.vector is None else load_matcher(matcher_id)
        if matcher is None or self.vector is None:
            return None
        return ask_matcher(matcher, self.query, self.vector, self.scope.labels(self.language))

    def _tempered(
        self,
        ranked: Sequence[Ranked],
        confidences: Sequence[float],
        outside: float,
        contents: dict[UUID, Content],
    ) -> tuple[list[float], float]:
        """The matcher's probabilities, and as far as it was learned from few phrasings, those by the cosines too. These
        are known of the embedded model alone."""
        weight = estimate_weight(self.scope.phrasings) if self.scope.model_name.startswith("embedded/") else 0.0
        if not weight or not ranked:
            return list(confidences), outside
        seen = [_seen(one, contents[one.faq]) for one in ranked]
        by_cosine, outside_by_cosine = estimate(seen)
        first = between(confidences[0], by_cosine[0], weight)
        rest = [min(confidence, 1 - first) for confidence in confidences[1:]]
        return [first, *rest], between(outside, outside_by_cosine, weight)

    def _candidates(self) -> tuple[State, list[Candidate]]:
        return find_candidates(
            query=self.query,
            vector=self.vector,
            model=self.scope.state.model or 0,
            configuration=search_configuration(self.language),
            filters=self.filters,
            phrasings=self.scope.total,
            exact=self.scope.phrasings <= FEW_PHRASINGS,
        )

    def _contents(self, ranked: Sequence[Ranked]) -> tuple[State, dict[UUID, Content]]:
        """What ``ranked`` say now, by the FAQ that was ranked."""
        state, found = read_contents(
            query=self.query,
            vector=self.vector,
            model=self.scope.state.model or 0,
            configuration=search_configuration(self.language),
            filters=self.filters,
            wanted=[(one.faq, one.phrasing) for one in ranked],
            language=self.language,
            translate=len(self.scope.languages) > 1,
        )
        return state, {content.asked: content for content in found}

    def _found(
        self,
        ranked: Sequence[Ranked],
        confidences: Sequence[float],
        outside: float,
        contents: dict[UUID, Content],
        limit: int,
        *,
        matcher_used: bool,
    ) -> Found:
        """The matches that may be shown; of translations of one FAQ, only the first."""
        matches: list[FAQMatch] = []
        groups: set[UUID] = set()
        for one, confidence in zip(ranked, confidences, strict=True):
            content = contents.get(one.faq)
            if content is not None and content.group not in groups:
                groups.add(content.group)
                matches.append(_match(one, content, confidence))
        found = Found(matches[:limit], outside if matches else 1.0, self.vector, matcher_used, self.language)
        return _with_the_very_words(found, self.query)


def _with_the_very_words(found: Found, query: str) -> Found:
    """``found`` with the FAQ first that somebody wrote these very words for. Nothing changes where several have."""
    same = [match for match in found.matches if same_words(match.phrasing, query)]
    if len(same) == 1:
        sure = replace(same[0], confidence=max(SURE, same[0].confidence))
        others = [replace(m, confidence=min(m.confidence, 1 - SURE)) for m in found.matches if m is not same[0]]
        found.matches, found.outside = [sure, *others], min(1 - SURE, found.outside)
    return found


def _seen(ranked: Ranked, content: Content) -> Ranked:
    """``ranked`` as the first stage would have seen it."""
    score = as_score(strength(content.dense, content.words))
    return replace(ranked, dense=content.dense, words=content.words, score=score)


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
    dense = ranked.dense if ranked.dense is not None else content.dense
    words = ranked.words if ranked.words is not None else content.words
    return FAQMatch(
        faq=content.faq,
        question=content.question,
        answer=content.answer,
        language=content.language,
        category=content.category,
        version=content.version,
        score=ranked.score if ranked.score is not None else as_score(strength(dense, words)),
        dense=dense,
        words=words,
        confidence=confidence,
        phrasing=content.phrasing,
    )
