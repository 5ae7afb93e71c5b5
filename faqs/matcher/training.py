"""Learning a matcher: kernel ridge regression on phrasings, calibrated on labels and phrasings held out.

Cost is bounded. At most MAX_ROWS phrasings are learned from (the same number per label as far as possible). With more
than MAX_COEFFICIENTS phrasings x labels, a label's score is its nearest phrasing's kernel value, with nothing to solve.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faqs.matcher.calibration import Calibration, Findings
from faqs.matcher.counting import count_grams
from faqs.matcher.evidence import EVIDENCE_WEIGHT, learn_evidence
from faqs.matcher.features import FloatArray, IntArray
from faqs.matcher.fitting import HeldOut, fit_calibration
from faqs.matcher.kernel import Kernel, unit
from faqs.matcher.model import Matcher, Postings
from faqs.matcher.similarity import apply_kernel, gram_similarities
from faqs.matcher.spread import Spread, is_worth_measuring, learn_spread

# 10,500 rows are a kernel of 441 MB, the largest array of a training.
MAX_ROWS = 10_500
MAX_COEFFICIENTS = 4_000_000
NOISE = 0.3
# Below so many labels there is nothing to learn about questions outside the FAQ: default_calibration.
LEAST_CALIBRATED_LABELS = 10
# Labels are cut into parts, of which some are held out one after the other, and one tenth of all phrasings with each:
# (parts, held out). A solution costs seconds beyond SMALL_ROWS rows.
SMALL_ROWS = 2_500
SMALL_PARTS = (10, 10)
LARGE_PARTS = (4, 3)
ROW_PARTS = 10
# Without coefficients, so many phrasings are asked again.
MAX_ASKED = 500


def train_matcher(texts: Sequence[str], labels: Sequence[str], vectors: npt.NDArray[Any], *, seed: int = 0) -> Matcher:
    """A matcher of `labels` learned from one phrasing per row: `texts`, and `vectors` of shape (n, dimensions).

    The same arguments give the same matcher. Raises ValueError for arguments of unequal lengths, vectors that are not
    finite or have no dimension, and fewer than two labels.
    """
    checked = _checked_vectors(texts, labels, vectors)
    names = sorted(set(labels))
    if len(names) < 2:
        raise ValueError("A matcher needs phrasings of at least two labels.")
    positions = {name: position for position, name in enumerate(names)}
    owners = np.array([positions[label] for label in labels], dtype=np.int32)
    rows = _chosen_rows(owners, np.random.default_rng(seed))
    owners = owners[rows]
    kept = [texts[row] for row in rows]
    vocabulary, grams = count_grams(kept)
    corpus = _Corpus(unit(checked[rows]), grams, vocabulary.words, owners, len(names))
    kernel = _kernel_for(len(rows) / len(names))
    coefficients, evidence, spread, calibration = _fit(corpus, kernel, seed)
    return Matcher(
        labels=names,
        owners=owners,
        vectors=corpus.vectors,
        vocabulary=vocabulary,
        postings=_postings(corpus.grams),
        kernel=kernel,
        coefficients=coefficients,
        evidence=evidence,
        spread=spread,
        calibration=calibration,
    )


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Phrasings sorted by label: unit vectors (n, d), n-grams as a scipy CSR matrix whose first `words` columns
    are single words, and the label of each."""

    vectors: FloatArray
    grams: Any
    words: int
    owners: IntArray
    labels: int


def _checked_vectors(texts: Sequence[str], labels: Sequence[str], vectors: npt.NDArray[Any]) -> FloatArray:
    checked = np.asarray(vectors, dtype=np.float32)
    if checked.ndim != 2 or checked.shape[1] == 0:
        raise ValueError("Vectors have to come as an array of shape (phrasings, dimensions).")
    if not len(texts) == len(labels) == len(checked):
        raise ValueError("Each phrasing needs its label and its vector.")
    if not np.isfinite(checked).all():
        raise ValueError("A vector holds a value that is not finite.")
    return checked


def _kernel_for(rows_per_label: float) -> Kernel:
    """The more phrasings, the more is learned from n-grams: their linear term grows with them."""
    return Kernel(dense_weight=2.0, dense_decay=3.0, joint_weight=2.0, linear_weight=min(1.4, 0.02 * rows_per_label))


def _chosen_rows(owners: IntArray, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """At most MAX_ROWS rows (but one of each label at least), sorted by label: where there are more, all labels give
    one at random before any gives a second."""
    turns = np.empty(len(owners), dtype=np.int64)
    shuffled = rng.permutation(len(owners))
    by_owner = shuffled[np.argsort(owners[shuffled], kind="stable")]
    counts = np.bincount(owners)
    turns[by_owner] = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    limit = max(MAX_ROWS, len(counts))
    chosen = np.argsort(turns, kind="stable")[:limit]
    return np.asarray(chosen[np.lexsort((chosen, owners[chosen]))], dtype=np.int64)


def _postings(grams: Any) -> Postings:
    columns = grams.tocsc()
    columns.sort_indices()
    return Postings(columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data)


def _fit(
    corpus: _Corpus, kernel: Kernel, seed: int
) -> tuple[FloatArray | None, FloatArray | None, Spread | None, Calibration]:
    """Coefficients, evidence and spread (None where they would cost too much), and the calibration of what they say."""
    rng = np.random.default_rng(seed)
    if len(corpus.owners) * corpus.labels > MAX_COEFFICIENTS:
        return None, None, None, fit_calibration(list(_held_out_neighbours(corpus, kernel, rng)))
    present = _words_present(corpus)
    values = gram_similarities(corpus.grams)
    folds = _folds(corpus, values, rng) if corpus.labels >= LEAST_CALIBRATED_LABELS else []
    apply_kernel(values, corpus.vectors, corpus.vectors, kernel)
    asked = [HeldOut(_ask_fold(corpus, fold, values, present), fold.truths) for fold in folds]
    coefficients = _solve(values, corpus.owners, corpus.labels)
    evidence = _evidence_of(present, corpus.owners, corpus.labels)
    spread = None
    if is_worth_measuring(corpus.vectors):
        spread = learn_spread(corpus.vectors, corpus.owners, corpus.labels)
    return coefficients, evidence, spread, fit_calibration(asked)


def _words_present(corpus: _Corpus) -> Any:
    """A CSR matrix (rows, words): 1 where the phrasing holds the word."""
    present = corpus.grams[:, : corpus.words].tocsr()
    present.data = np.ones_like(present.data)
    return present


def _evidence_of(present: Any, owners: IntArray, labels: int) -> FloatArray:
    from scipy.sparse import csr_matrix

    rows = np.arange(len(owners))
    members = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, owners)), shape=(len(rows), labels))
    counts = (present.T @ members).toarray()
    return learn_evidence(counts, np.bincount(owners, minlength=labels))


def _solve(values: FloatArray, owners: IntArray, labels: int) -> FloatArray:
    """The coefficients (rows, labels) of kernel ridge regression on one indicator per label.

    `values`, the kernel of the rows, is overwritten with its Cholesky factor.
    """
    from scipy.linalg import cho_factor, cho_solve

    values[np.diag_indices(len(values))] += NOISE
    targets = np.zeros((len(owners), labels), dtype=np.float32)
    targets[np.arange(len(owners)), owners] = 1
    # Transposed, the array is in Fortran's order, so that LAPACK works in it and makes no copy.
    factor = cho_factor(values.T, lower=True, overwrite_a=True, check_finite=False)
    return np.ascontiguousarray(cho_solve(factor, targets, check_finite=False), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Fold:
    """Rows to learn from, rows to ask, and for those the position of the right label among `known` or -1, with the
    n-gram likeness of the nearest row per known label."""

    train: npt.NDArray[np.int64]
    asked: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]
    owners: IntArray
    truths: npt.NDArray[np.int64]
    grams: FloatArray

    @property
    def firsts(self) -> npt.NDArray[np.int64]:
        return np.searchsorted(self.owners, np.arange(len(self.known)))


def _folds(corpus: _Corpus, similarities: FloatArray, rng: np.random.Generator) -> list[_Fold]:
    """Parts of the labels (outside) and phrasings of the others (inside) which a model will not have seen."""
    rows = len(corpus.owners)
    parts, used = SMALL_PARTS if rows <= SMALL_ROWS else LARGE_PARTS
    label_part = rng.permutation(corpus.labels) % parts
    row_part = rng.permutation(rows) % ROW_PARTS
    folds = []
    for part in range(used):
        hidden = label_part[corpus.owners] == part
        held = hidden | (row_part == part)
        train, asked = np.flatnonzero(~held), np.flatnonzero(held)
        known = np.unique(corpus.owners[train]).astype(np.int64)
        # A row whose label has lost all phrasings to chance is neither inside nor outside by design: left out.
        asked = asked[hidden[asked] | np.isin(corpus.owners[asked], known)]
        if len(known) < 2 or not len(asked):
            continue
        owners = np.searchsorted(known, corpus.owners[train]).astype(np.int32)
        truths = np.where(hidden[asked], -1, np.searchsorted(known, corpus.owners[asked]))
        firsts = np.searchsorted(owners, np.arange(len(known)))
        nearest = np.maximum.reduceat(similarities[np.ix_(asked, train)], firsts, axis=1)
        folds.append(_Fold(train, asked, known, owners, truths, nearest))
    return folds


def _ask_fold(corpus: _Corpus, fold: _Fold, values: FloatArray, present: Any) -> Findings:
    """What a model of the fold's rows to learn from finds for its rows to ask. `values` is the kernel of all rows."""
    coefficients = _solve(values[np.ix_(fold.train, fold.train)], fold.owners, len(fold.known))
    table = _evidence_of(present[fold.train], fold.owners, len(fold.known))
    words = present[fold.asked]
    evidence = np.asarray(words @ table, dtype=np.float32)
    dense = corpus.vectors[fold.asked] @ corpus.vectors[fold.train].T
    spread = None
    if is_worth_measuring(corpus.vectors):  # asked of all rows: the folds and the matcher see the same signals
        spread = learn_spread(corpus.vectors[fold.train], fold.owners, len(fold.known))
    return Findings(
        scores=values[np.ix_(fold.asked, fold.train)] @ coefficients + EVIDENCE_WEIGHT * evidence,
        dense=np.maximum.reduceat(dense, fold.firsts, axis=1),
        grams=fold.grams,
        evidence=evidence,
        support=np.asarray(words @ np.maximum(table, 0), dtype=np.float32),
        lengths=np.asarray(words.sum(axis=1), dtype=np.float32).ravel(),
        distances=spread.distances(corpus.vectors[fold.asked]) if spread else np.zeros_like(evidence),
    )


def _held_out_neighbours(corpus: _Corpus, kernel: Kernel, rng: np.random.Generator) -> Iterator[HeldOut]:
    """What nearest phrasings say of a sample without the phrasing itself (inside), without its label (outside)."""
    firsts = np.searchsorted(corpus.owners, np.arange(corpus.labels))
    sizes = np.bincount(corpus.owners, minlength=corpus.labels)
    sample = np.sort(rng.permutation(len(corpus.owners))[:MAX_ASKED])
    lengths = np.asarray(_words_present(corpus)[sample].sum(axis=1), dtype=np.float32).ravel()
    for whole_label in (False, True):
        asked = np.arange(len(sample)) if whole_label else np.flatnonzero(sizes[corpus.owners[sample]] > 1)
        if not len(asked):
            continue
        own = sample[asked]
        near_dense = corpus.vectors[own] @ corpus.vectors.T
        near_grams = (corpus.grams[own] @ corpus.grams.T).toarray()
        for place, row in enumerate(own):
            unseen = np.flatnonzero(corpus.owners == corpus.owners[row]) if whole_label else row
            near_dense[place, unseen], near_grams[place, unseen] = -1, 0
        nothing = np.zeros((len(own), corpus.labels), dtype=np.float32)
        found = Findings(
            scores=np.maximum.reduceat(kernel.of(near_dense, near_grams), firsts, axis=1),
            dense=np.maximum.reduceat(near_dense, firsts, axis=1),
            grams=np.maximum.reduceat(near_grams, firsts, axis=1),
            evidence=nothing,
            support=nothing,
            lengths=lengths[asked],
            distances=nothing,
        )
        yield HeldOut(found, np.full(len(own), -1) if whole_label else corpus.owners[own].astype(np.int64))
