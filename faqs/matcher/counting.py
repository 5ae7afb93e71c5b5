"""Counting the n-grams of many phrasings in one pass, for training."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from faqs.matcher.features import FloatArray, Vocabulary, character_grams, gram_kind, word_grams, words_of

# Up to so many phrasings every n-gram counts. Beyond, one that stands in a single phrasing is left out, and so are runs
# of characters that stand in more than this share of them: they cost most and say least.
ALL_GRAMS_ROWS = 2_000
COMMON_SHARE = 0.1


def count_grams(texts: Sequence[str]) -> tuple[Vocabulary, Any]:
    """The vocabulary of `texts`, and their weights as a scipy CSR matrix (texts, n-grams): what `Vocabulary.weigh`
    gives for each text. idf = ln((1 + texts) / (1 + texts with the n-gram)) + 1."""
    counts, grams = _count(texts)
    frequencies = np.bincount(counts.indices, minlength=len(grams))
    least = 1 if len(texts) <= ALL_GRAMS_ROWS else 2
    most = len(texts) if len(texts) <= ALL_GRAMS_ROWS else COMMON_SHARE * len(texts)
    kept = [
        place
        for place, gram in enumerate(grams)
        if frequencies[place] >= least and (frequencies[place] <= most or gram_kind(gram)[0] < 2)
    ]
    kept.sort(key=lambda place: gram_kind(grams[place]))
    idf = (np.log((1 + len(texts)) / (1 + frequencies[kept])) + 1).astype(np.float32)
    vocabulary = Vocabulary([grams[place] for place in kept], idf)
    return vocabulary, _weighed(counts[:, kept], vocabulary)


def _count(texts: Sequence[str]) -> tuple[Any, list[str]]:
    """A CSR matrix (texts, n-grams) of how often each stands in each, and the n-grams in the order of its columns."""
    from scipy.sparse import csr_matrix

    places: dict[str, int] = {}
    parts, ends = [], [0]
    for text in texts:
        words = words_of(text)
        found = [places.setdefault(gram, len(places)) for gram in [*word_grams(words), *character_grams(words)]]
        parts.append(np.array(found, dtype=np.int32))
        ends.append(ends[-1] + len(found))
    columns = np.concatenate(parts)
    shape = (len(texts), max(len(places), 1))
    counts = csr_matrix((np.ones(len(columns), dtype=np.float32), columns, np.array(ends)), shape=shape)
    counts.sum_duplicates()
    return counts, list(places)


def _weighed(counts: Any, vocabulary: Vocabulary) -> Any:
    from scipy.sparse import diags, hstack

    counts.data = 1 + np.log(counts.data)
    weights = (counts @ diags(vocabulary.idf)).tocsr()
    edge = int(np.searchsorted([gram_kind(gram)[0] for gram in vocabulary.grams], 2))
    halves = [weights[:, :edge], weights[:, edge:]]
    whole = hstack([diags(_scales(half)) @ half for half in halves]).tocsr().astype(np.float32)
    whole.sort_indices()
    return whole


def _scales(half: Any) -> FloatArray:
    """What brings each row to a length of sqrt(1/2); 0 for an empty row."""
    squares = np.asarray(half.multiply(half).sum(axis=1), dtype=np.float64).ravel()
    return np.asarray(
        np.divide(1, np.sqrt(2 * squares), where=squares > 0, out=np.zeros_like(squares)), dtype=np.float32
    )
