"""The trained matcher: arrays, the ranking of one question, and its form in bytes."""

import io
import json
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from faqs.matcher.calibration import SIGNALS, TERMS, Calibration, Findings, Logistic, signals_of, softmax
from faqs.matcher.evidence import EVIDENCE_WEIGHT, weigh_evidence
from faqs.matcher.features import FloatArray, IntArray, Vocabulary
from faqs.matcher.kernel import Kernel, unit
from faqs.matcher.spread import Spread

MATCHER_FORMAT = 1
# A ranking lists at most so many labels.
MAX_RANKED = 50
# Scores (1 is a phrasing itself) closer than this are a tie: what remains is the rounding of sums.
SCORE_DECIMALS = 5
# Bytes that unpack to more than this are refused; the largest matcher that training makes stays below.
MAX_UNPACKED_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to one question.

    `labels` are best first, each with its probability given that the question is inside the FAQ; ties in the order of
    labels; empty where no candidate is known. `outside` is the probability that the question is outside the FAQ,
    `confidence` the probability that the first label is right, everything considered.
    """

    labels: list[tuple[str, float]]
    outside: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Postings:
    """For each n-gram the phrasings that hold it: rows[starts[g]:starts[g + 1]], with their weights."""

    starts: npt.NDArray[np.int64]
    rows: IntArray
    weights: FloatArray

    def similarity(self, indexes: IntArray, weights: FloatArray, count: int) -> FloatArray:
        """The dot product of a text's n-grams with those of each of `count` phrasings."""
        spans = [slice(self.starts[index], self.starts[index + 1]) for index in indexes]
        if not spans:
            return np.zeros(count, dtype=np.float32)
        rows = np.concatenate([self.rows[span] for span in spans])
        products = np.concatenate([self.weights[span] * weight for span, weight in zip(spans, weights, strict=True)])
        return np.bincount(rows, weights=products, minlength=count).astype(np.float32)


class Matcher:
    """Ranks labels for a question by kernel regression over phrasings. Immutable; made by `train_matcher`.

    Phrasings are sorted by label. With `coefficients` (phrasings, labels) and `evidence` (words, labels), a label's
    score is the kernel row of the question times its column, and EVIDENCE_WEIGHT for each unit of evidence; without
    them it is the largest kernel value among its phrasings.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str],
        owners: IntArray,
        vectors: FloatArray,
        vocabulary: Vocabulary,
        postings: Postings,
        kernel: Kernel,
        coefficients: FloatArray | None,
        evidence: FloatArray | None,
        spread: Spread | None,
        calibration: Calibration,
    ) -> None:
        self.labels = tuple(labels)
        self._positions = {label: position for position, label in enumerate(self.labels)}
        self._owners = owners
        self._firsts = np.searchsorted(owners, np.arange(len(self.labels)))
        self._vectors = vectors
        self._vocabulary = vocabulary
        self._postings = postings
        self._kernel = kernel
        self._coefficients = coefficients
        self._evidence = evidence
        self._spread = spread
        self._calibration = calibration

    @property
    def dimensions(self) -> int:
        """The length of the vectors it was trained on, the only ones that it takes."""
        return int(self._vectors.shape[1])

    def rank(self, text: str, vector: npt.NDArray[Any], *, candidates: Collection[str] | None = None) -> Ranking:
        """The ranking of all labels, or only of those that stand in `candidates`, for a question and its vector.

        The same arguments always give the same ranking. Any text will do, and any finite vector, of any length.
        Raises ValueError for a vector of other dimensions or with a value that is not finite.
        """
        query = self._checked(vector)
        allowed = self._allowed(candidates)
        if not allowed.size:
            return Ranking([], 1.0, 0.0)
        return self._ranking(allowed, self._find(text, query, allowed))

    def _find(self, text: str, query: FloatArray, allowed: IntArray) -> Findings:
        """What there is to know of one question, for the labels `allowed`."""
        indexes, weights = self._vocabulary.weigh(text)
        words = indexes[indexes < self._vocabulary.words]
        dense = self._vectors @ query
        grams = self._postings.similarity(indexes, weights, len(self._owners))
        values = self._kernel.of(dense, grams)
        evidence = support = np.zeros(len(self.labels), dtype=np.float32)
        if self._coefficients is None or self._evidence is None:
            scores = np.maximum.reduceat(values, self._firsts)
        else:
            evidence, support = weigh_evidence(self._evidence, words)
            scores = values @ self._coefficients + EVIDENCE_WEIGHT * evidence
        distances = np.zeros(len(self.labels), dtype=np.float32)
        if self._spread is not None:
            distances = self._spread.distances(query[None])[0]
        return Findings(
            scores=scores[allowed][None].round(SCORE_DECIMALS).astype(np.float32),
            dense=np.maximum.reduceat(dense, self._firsts)[allowed][None],
            grams=np.maximum.reduceat(grams, self._firsts)[allowed][None],
            evidence=evidence[allowed][None],
            support=support[allowed][None],
            lengths=np.array([len(words)], dtype=np.float32),
            distances=distances[None, allowed],
        )

    def _ranking(self, allowed: IntArray, found: Findings) -> Ranking:
        calibration = self._calibration
        signals = signals_of(found, calibration.sharpness)
        outside = float(calibration.outside.probability(signals)[0])
        confidence = float(calibration.correct.probability(signals)[0])
        scores = found.scores[0]
        probabilities = softmax(scores, calibration.sharpness)
        # `allowed` ascends as the labels do: a stable sort breaks ties by label.
        order = np.argsort(-scores, kind="stable")[:MAX_RANKED]
        ranked = [(self.labels[allowed[place]], float(probabilities[place])) for place in order]
        return Ranking(ranked, outside, confidence)

    def _checked(self, vector: npt.NDArray[Any]) -> FloatArray:
        query = np.asarray(vector, dtype=np.float32)
        if query.shape != (self.dimensions,):
            raise ValueError(f"The vector has shape {query.shape}, this matcher takes ({self.dimensions},).")
        if not np.isfinite(query).all():
            raise ValueError("The vector holds a value that is not finite.")
        return unit(query)

    def _allowed(self, candidates: Collection[str] | None) -> IntArray:
        if candidates is None:
            return np.arange(len(self.labels), dtype=np.int32)
        positions = sorted({self._positions[label] for label in candidates if label in self._positions})
        return np.array(positions, dtype=np.int32)

    def to_bytes(self) -> bytes:
        """A NumPy .npz archive; vectors, n-gram weights and coefficients in half precision."""
        calibration = self._calibration
        header = {
            "format": MATCHER_FORMAT,
            "labels": self.labels,
            "grams": self._vocabulary.grams,
            "kernel": self._kernel.as_dict(),
            "sharpness": calibration.sharpness,
            "outside": _logistic_numbers(calibration.outside),
            "correct": _logistic_numbers(calibration.correct),
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            "owners": self._owners,
            "vectors": self._vectors.astype(np.float16),
            "idf": self._vocabulary.idf,
            "starts": self._postings.starts,
            "rows": self._postings.rows.astype(np.uint16 if len(self._owners) < 2**16 else np.int32),
            "weights": self._postings.weights.astype(np.float16),
        }
        if self._coefficients is not None:
            arrays["coefficients"] = self._coefficients.astype(np.float16)
        if self._evidence is not None:
            arrays["evidence"] = self._evidence.astype(np.float16)
        if self._spread is not None:
            arrays |= {"whitening": self._spread.whitening, "centres": self._spread.centres}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Matcher":
        """The matcher that `to_bytes` wrote. Raises ValueError for anything else; nothing in it is executed."""
        try:
            return cls._read(_arrays(data))
        except ValueError:
            raise
        except (KeyError, TypeError, OSError, EOFError, IndexError, AttributeError, zipfile.BadZipFile) as error:
            raise ValueError("These bytes are not a matcher.") from error

    @classmethod
    def _read(cls, arrays: dict[str, npt.NDArray[Any]]) -> "Matcher":
        header = json.loads(arrays["header"].tobytes())
        if header["format"] != MATCHER_FORMAT:
            raise ValueError(f"A matcher of format {header['format']}; this version reads {MATCHER_FORMAT}.")
        coefficients, evidence = arrays.get("coefficients"), arrays.get("evidence")
        matcher = cls(
            labels=header["labels"],
            owners=arrays["owners"].astype(np.int32),
            vectors=arrays["vectors"].astype(np.float32),
            vocabulary=Vocabulary(header["grams"], arrays["idf"].astype(np.float32)),
            postings=Postings(
                arrays["starts"].astype(np.int64),
                arrays["rows"].astype(np.int32),
                arrays["weights"].astype(np.float32),
            ),
            kernel=Kernel(**header["kernel"]),
            coefficients=None if coefficients is None else coefficients.astype(np.float32),
            evidence=None if evidence is None else evidence.astype(np.float32),
            spread=Spread(arrays["whitening"], arrays["centres"]) if "whitening" in arrays else None,
            calibration=Calibration(
                float(header["sharpness"]), _logistic(header["outside"]), _logistic(header["correct"])
            ),
        )
        matcher._check_shapes()
        return matcher

    def _check_shapes(self) -> None:
        """Raises ValueError where the arrays do not fit each other, so that no question can fail on them later."""
        rows, labels, grams = len(self._owners), len(self.labels), len(self._vocabulary)
        postings = self._postings
        sound = (
            labels >= 2
            and list(self.labels) == sorted(set(self.labels))
            and self._owners.ndim == 1
            and bool((np.diff(self._owners) >= 0).all())
            and np.array_equal(np.unique(self._owners), np.arange(labels))
            and self._vectors.ndim == 2
            and self._vectors.shape[0] == rows
            and self._vectors.shape[1] > 0
            and (self._coefficients is None) == (self._evidence is None)
            and (self._coefficients is None or self._coefficients.shape == (rows, labels))
            and (self._evidence is None or self._evidence.shape == (self._vocabulary.words, labels))
            and self._spread_fits()
            and postings.starts.shape == (grams + 1,)
            and postings.rows.shape == postings.weights.shape
            and postings.rows.ndim == 1
            and postings.starts[0] == 0
            and postings.starts[-1] == len(postings.rows)
            and bool((np.diff(postings.starts) >= 0).all())
            and bool(((postings.rows >= 0) & (postings.rows < rows)).all())
            and all(
                bool(np.isfinite(array).all())
                for array in (self._vectors, self._vocabulary.idf, postings.weights, self._coefficients, self._evidence)
                if array is not None
            )
        )
        if not sound:
            raise ValueError("The arrays of this matcher do not fit each other.")

    def _spread_fits(self) -> bool:
        spread, dimensions = self._spread, self.dimensions
        return spread is None or (
            spread.whitening.shape == (dimensions, dimensions)
            and spread.centres.shape == (len(self.labels), dimensions)
            and spread.whitening.dtype == spread.centres.dtype == np.float32
            and bool(np.isfinite(spread.whitening).all() and np.isfinite(spread.centres).all())
        )


def _arrays(data: bytes) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
            raise ValueError("This matcher would unpack to more than a matcher can hold.")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _logistic_numbers(logistic: Logistic) -> list[float]:
    return [*logistic.mean, *logistic.scale, *logistic.weights, logistic.intercept]


def _logistic(values: Sequence[float]) -> Logistic:
    numbers = np.array(values, dtype=np.float64)
    if numbers.shape != (2 * SIGNALS + TERMS + 1,) or not np.isfinite(numbers).all():
        raise ValueError("A calibration of this matcher is broken.")
    mean, scale, weights = np.split(numbers[:-1], [SIGNALS, 2 * SIGNALS])
    if not (scale > 0).all():
        raise ValueError("A calibration of this matcher is broken.")
    return Logistic(mean, scale, weights, float(numbers[-1]))
