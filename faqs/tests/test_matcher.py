"""The matcher alone: no database, no embedding model, a small made-up FAQ."""

import hashlib
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

from faqs.matcher import MATCHER_FORMAT, Matcher, train_matcher
from faqs.matcher.calibration import Findings, signals_of, softmax
from faqs.matcher.counting import count_grams
from faqs.matcher.evidence import learn_evidence, weigh_evidence
from faqs.matcher.features import MARK, MAX_WORDS, character_grams, word_grams, words_of
from faqs.matcher.fitting import HeldOut, default_calibration, fit_calibration
from faqs.matcher.kernel import Kernel, unit
from faqs.matcher.metrics import (
    direct_answers,
    expected_calibration_error,
    fallback_rate,
    mean_reciprocal_rank,
    out_of_scope_recall,
    top_k,
)
from faqs.matcher.similarity import gram_similarities
from faqs.matcher.spread import learn_spread
from faqs.matcher.training import MAX_ROWS, _chosen_rows

DIMENSIONS = 48
TOPICS = {
    "bicycle": ["bicycle", "bike", "helmet", "pedal"],
    "borrowing": ["borrow", "book", "loan", "novel"],
    "fees": ["fee", "fine", "charge", "overdue"],
    "hours": ["open", "hours", "close", "sunday"],
    "membership": ["member", "join", "register", "signup"],
    "parking": ["park", "car", "garage", "lot"],
    "password": ["password", "login", "reset", "locked"],
    "pets": ["dog", "pet", "cat", "leash"],
    "printing": ["print", "copy", "scanner", "paper"],
    "rooms": ["room", "reserve", "study", "desk"],
    "tours": ["tour", "guide", "visit", "group"],
    "wifi": ["wifi", "internet", "network", "connect"],
}
FRAMES = [
    "how about the {} please",
    "question on {} and {}",
    "where do i find {}",
    "i need help with {} {}",
    "is {} ok",
]


def vector_of(text: str) -> np.ndarray:
    """A bag of words embedding: each word has its own fixed random direction, words of one topic share a part of it."""
    total = np.zeros(DIMENSIONS)
    for word in text.split():
        total += _direction(word)
        for topic, words in TOPICS.items():
            if word in words:
                total += 2 * _direction(f"topic {topic}")
    return unit(total)


def _direction(word: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=DIMENSIONS)


def phrasings() -> tuple[list[str], list[str], np.ndarray]:
    texts, labels = [], []
    for topic, words in TOPICS.items():
        for place, word in enumerate(words):
            for frame in FRAMES:
                texts.append(frame.format(word, words[place - 1]))
                labels.append(topic)
    return texts, labels, np.stack([vector_of(text) for text in texts])


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return train_matcher(*phrasings())


def ask(matcher: Matcher, text: str, **options):
    return matcher.rank(text, vector_of(text), **options)


def small_matcher() -> Matcher:
    texts = ["open on sunday", "fee for a novel"]
    return train_matcher(texts, ["hours", "fees"], np.stack([vector_of(text) for text in texts]))


def test_new_question_is_ranked_to_its_label(matcher):
    for text, topic in [
        ("can my dog come in", "pets"),
        ("the wifi network is down", "wifi"),
        ("lost password", "password"),
    ]:
        ranking = ask(matcher, text)
        assert ranking.labels[0][0] == topic
        assert sum(probability for _, probability in ranking.labels) == pytest.approx(1, abs=1e-5)
        assert [p for _, p in ranking.labels] == sorted((p for _, p in ranking.labels), reverse=True)


def test_questions_on_other_topics_are_more_probably_outside(matcher):
    inside = [
        ask(matcher, text) for text in ["how do i reset my password", "please print a copy", "where to park my car"]
    ]
    outside = [
        ask(matcher, text) for text in ["zxqv wkrt plmb", "why did mortgage rates rise", "volcano eruption magma"]
    ]
    assert max(r.outside for r in inside) < 0.5 < min(r.outside for r in outside)
    assert min(r.confidence for r in inside) > max(r.confidence for r in outside)


def test_training_and_ranking_are_deterministic(matcher):
    again = train_matcher(*phrasings())
    assert again.to_bytes() == matcher.to_bytes()
    assert ask(again, "a study room for monday") == ask(matcher, "a study room for monday")


def test_equal_labels_are_ordered_by_name():
    vectors = np.tile(vector_of("open"), (4, 1))
    ranking = train_matcher(["open"] * 4, ["d", "b", "c", "a"], vectors).rank("open", vectors[0])
    assert [label for label, _ in ranking.labels] == ["a", "b", "c", "d"]


def test_candidates_are_the_only_ones_ranked(matcher):
    ranking = ask(matcher, "can my dog come in", candidates={"wifi": 0.4, "fees": 0.3, "unheard of": 0.9})
    assert {label for label, _ in ranking.labels} == {"wifi", "fees"}
    assert sum(probability for _, probability in ranking.labels) == pytest.approx(1, abs=1e-5)
    assert ranking.confidence < ask(matcher, "can my dog come in").confidence
    nothing = ask(matcher, "can my dog come in", candidates={"unheard of"})
    assert (nothing.labels, nothing.outside, nothing.confidence) == ([], 1.0, 0.0)


def test_bytes_hold_the_whole_matcher(matcher):
    restored = Matcher.from_bytes(matcher.to_bytes())
    assert restored.labels == matcher.labels == tuple(sorted(TOPICS))
    assert restored.dimensions == matcher.dimensions == DIMENSIONS
    for text in ["renew a loan", "parking at night", "", "volcano"]:
        before, after = ask(matcher, text), ask(restored, text)
        assert [label for label, _ in after.labels][:3] == [label for label, _ in before.labels][:3]
        assert after.outside == pytest.approx(before.outside, abs=0.01)
        assert after.confidence == pytest.approx(before.confidence, abs=0.01)
    assert restored.to_bytes() == matcher.to_bytes()


def rewritten(data: bytes, **changes: np.ndarray) -> bytes:
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def test_what_is_not_a_matcher_is_refused(matcher):
    data = matcher.to_bytes()
    pickled = io.BytesIO()
    np.savez(pickled, header=np.array([{"format": 1}], dtype=object))
    broken = [
        b"",
        b"garbage",
        pickle.dumps({"labels": ["a", "b"]}),
        pickled.getvalue(),
        data[: len(data) // 2],
        data[:-30],
        rewritten(data, header=None),
        rewritten(data, header=np.frombuffer(b"[]", dtype=np.uint8)),
        rewritten(data, header=np.frombuffer(b'{"format": 1}', dtype=np.uint8)),
        rewritten(data, vectors=np.zeros((3, 4), dtype=np.float16)),
        rewritten(data, vectors=np.full((240, DIMENSIONS), np.nan, dtype=np.float16)),
        rewritten(data, rows=np.array([99999], dtype=np.int32)),
        rewritten(data, coefficients=None),
        rewritten(data, owners=np.zeros(240, dtype=np.int32)),
    ]
    for each in broken:
        with pytest.raises(ValueError):
            Matcher.from_bytes(each)


def test_matcher_of_another_format_is_refused(matcher):
    data = matcher.to_bytes()
    with np.load(io.BytesIO(data)) as archive:
        header = archive["header"].tobytes()
    other = header.replace(b'"format": %d' % MATCHER_FORMAT, b'"format": %d' % (MATCHER_FORMAT + 1))
    assert other != header
    with pytest.raises(ValueError, match="format"):
        Matcher.from_bytes(rewritten(data, header=np.frombuffer(other, dtype=np.uint8)))


@pytest.mark.parametrize("text", ["", "   ", "???", "\x00\t\n", "ß" * 5000, "dog " * 5000, "\U0001f415 犬 собака"])
def test_any_text_and_any_finite_vector_are_ranked(matcher, text):
    for vector in [np.zeros(DIMENSIONS), np.full(DIMENSIONS, 1e30), np.full(DIMENSIONS, 1e-30), -vector_of("dog")]:
        ranking = matcher.rank(text, vector.astype(np.float32))
        assert len(ranking.labels) == len(TOPICS)
        assert 0 <= ranking.outside <= 1
        assert 0 <= ranking.confidence <= 1
        assert all(np.isfinite(probability) for _, probability in ranking.labels)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(DIMENSIONS + 1),
        np.zeros(0),
        np.zeros((1, DIMENSIONS)),
        np.full(DIMENSIONS, np.nan),
        np.full(DIMENSIONS, np.inf),
    ],
)
def test_vectors_that_do_not_fit_are_refused(matcher, vector):
    with pytest.raises(ValueError):
        matcher.rank("dog", vector)


def test_too_little_or_broken_input_cannot_be_trained_on():
    texts, labels, vectors = phrasings()
    broken = vectors.copy()
    broken[3, 3] = np.nan
    for arguments in [
        ([], [], np.zeros((0, 4))),
        (["a"], ["one"], np.ones((1, 4))),
        (["a", "b"], ["one", "one"], np.ones((2, 4))),
        (texts, labels[:-1], vectors),
        (texts, labels, vectors[:-1]),
        (texts, labels, vectors[0]),
        (texts, labels, np.zeros((len(texts), 0))),
        (texts, labels, broken),
    ]:
        with pytest.raises(ValueError):
            train_matcher(*arguments)


def test_two_labels_with_one_phrasing_each_are_enough():
    matcher = small_matcher()
    assert ask(matcher, "is it open on sunday").labels[0][0] == "hours"
    assert ask(matcher, "a fee for that novel").labels[0][0] == "fees"
    assert ask(matcher, "open on sunday").outside < 0.5 < ask(matcher, "zxqv wkrt plmb").outside


def test_phrasings_without_any_word_can_be_learned():
    vectors = np.stack([vector_of("open"), vector_of("fee")])
    assert train_matcher(["?", "!"], ["a", "b"], vectors).rank("?", vectors[0]).labels[0][0] == "a"


def test_many_labels_are_ranked_by_their_nearest_phrasing(monkeypatch):
    monkeypatch.setattr("faqs.matcher.training.MAX_COEFFICIENTS", 10)
    matcher = train_matcher(*phrasings())
    assert ask(matcher, "can my dog come in").labels[0][0] == "pets"
    assert ask(matcher, "please print a copy").outside < ask(matcher, "zxqv wkrt plmb").outside
    restored = Matcher.from_bytes(matcher.to_bytes())
    assert ask(restored, "can my dog come in").labels[0][0] == "pets"


def test_rows_beyond_the_limit_are_dropped_evenly(monkeypatch):
    monkeypatch.setattr("faqs.matcher.training.MAX_ROWS", 6)
    owners = np.array([0] * 50 + [1] * 2 + [2] * 9, dtype=np.int32)
    rows = _chosen_rows(owners, np.random.default_rng(0))
    assert np.bincount(owners[rows]).tolist() == [2, 2, 2]
    assert owners[rows].tolist() == sorted(owners[rows])
    monkeypatch.setattr("faqs.matcher.training.MAX_ROWS", 2)
    assert np.bincount(owners[_chosen_rows(owners, np.random.default_rng(0))]).tolist() == [1, 1, 1]
    assert MAX_ROWS >= 10_000


def test_inference_imports_neither_scipy_nor_django():
    program = (
        "import sys; from faqs.matcher import Matcher, train_matcher;"
        "print([name for name in ('scipy', 'sklearn', 'django') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_words_are_folded_and_bounded():
    assert words_of("ＣＡＲＤ's Größe, 2x!") == ["card", "s", "grösse", "2x"]
    assert len(words_of("a " * 5000)) == MAX_WORDS


def test_grams_of_words_and_characters():
    assert word_grams(["my", "top", "up"]) == ["my", "top", "up", "my top", "top up"]
    assert character_grams(["a", "b"]) == [MARK + run for run in [" a ", "a b", " b ", " a b", "a b ", " a b "]]
    assert character_grams([]) == []


def test_grams_of_training_and_of_a_question_agree():
    texts = ["my card is lost", "my card my card", "??", "lost"]
    vocabulary, grams = count_grams(texts)
    assert vocabulary.grams[: vocabulary.words] == ["card", "is", "lost", "my"]
    assert vocabulary.idf[0] == pytest.approx(np.log(5 / 3) + 1)
    for row, text in enumerate(texts):
        indexes, weights = vocabulary.weigh(text)
        dense = np.zeros(len(vocabulary))
        dense[indexes] = weights
        assert grams[row].toarray()[0] == pytest.approx(dense, abs=1e-6)
        assert np.linalg.norm(dense) == pytest.approx(0 if text == "??" else 1, abs=1e-6)
    assert gram_similarities(grams) == pytest.approx((grams @ grams.T).toarray(), abs=1e-6)


def test_kernel_of_hand_made_likenesses():
    kernel = Kernel(dense_weight=2, dense_decay=3, joint_weight=1, linear_weight=0.5)
    dense, grams = np.array([1, 0], dtype=np.float32), np.array([1, 0.5], dtype=np.float32)
    assert kernel.of(dense, grams) == pytest.approx([3.5, 2 * np.exp(-3) + np.exp(-1.5) + 0.25], rel=1e-5)


def test_evidence_is_the_logarithm_of_how_much_likelier_a_word_is():
    counts = np.array([[3, 0], [2, 2]], dtype=np.float32)
    table = learn_evidence(counts, np.array([4, 4]))
    ordinary = 3.5 / 9
    assert table[0, 0] == pytest.approx(np.log((3 + 2 * ordinary) / 6 / ordinary), rel=1e-5)
    assert table[0, 1] == pytest.approx(np.log(2 * ordinary / 6 / ordinary), rel=1e-5)
    total, support = weigh_evidence(table, np.array([0, 1], dtype=np.int32))
    assert total == pytest.approx(table.sum(axis=0))
    assert support == pytest.approx(np.maximum(table, 0).sum(axis=0))


def test_distance_counts_a_direction_less_the_more_phrasings_differ_in_it(monkeypatch):
    monkeypatch.setattr("faqs.matcher.spread.SHRINKAGE", 0.0)
    vectors = np.array([[-2, 1], [2, 1], [-2, -1], [2, -1], [8, 1], [12, 1], [8, -1], [12, -1]], dtype=np.float32)
    spread = learn_spread(vectors, np.array([0] * 4 + [1] * 4, dtype=np.int32), 2)
    # Variances 4 and 1 around (0, 0) and (10, 0): the mean of x^2 / 4 and y^2.
    assert spread.distances(np.array([[2, 1], [10, 3]], dtype=np.float32)) == pytest.approx(
        np.array([[(1 + 1) / 2, (16 + 1) / 2], [(25 + 9) / 2, (0 + 9) / 2]]), rel=1e-4
    )
    assert learn_spread(vectors[[0, 0, 4, 4]], np.array([0, 0, 1, 1], dtype=np.int32), 2) is None


def test_spread_is_kept_in_bytes_and_tells_what_is_outside(monkeypatch):
    monkeypatch.setattr("faqs.matcher.spread.ROWS_PER_DIMENSION", 1)
    matcher = train_matcher(*phrasings())
    assert matcher.to_bytes() == Matcher.from_bytes(matcher.to_bytes()).to_bytes()
    assert ask(matcher, "how do i reset my password").outside < 0.5 < ask(matcher, "volcano eruption magma").outside
    with np.load(io.BytesIO(matcher.to_bytes())) as archive:
        assert archive["whitening"].shape == (DIMENSIONS, DIMENSIONS)
    with pytest.raises(ValueError):
        Matcher.from_bytes(rewritten(matcher.to_bytes(), centres=np.zeros((2, 2), dtype=np.float32)))


def test_softmax_of_hand_made_scores():
    scores = np.array([np.log(4) / 2, 0], dtype=np.float32)
    assert softmax(scores, 2.0) == pytest.approx([0.8, 0.2], rel=1e-5)


def held_out(inside: int, outside: int) -> HeldOut:
    """Of the questions inside, 3 of 4 are answered rightly; the best score is 0.9 inside and 0.3 outside."""
    count = inside + outside
    best = np.where(np.arange(count) < inside, 0.9, 0.3)
    scores = np.stack([best, np.zeros(count)], axis=1).astype(np.float32)
    truths = np.where(np.arange(count) < inside, (np.arange(count) % 4 == 0).astype(int), -1)
    same = np.full((count, 2), 0.5, dtype=np.float32)
    return HeldOut(Findings(scores, same, same, same, same, np.ones(count, dtype=np.float32), same), truths)


def test_calibration_learns_shares_from_what_was_held_out():
    held = held_out(400, 400)
    calibration = fit_calibration([held])
    signals = signals_of(held.found, calibration.sharpness)
    outside, correct = calibration.outside.probability(signals), calibration.correct.probability(signals)
    assert outside[0] < 0.1
    assert outside[-1] > 0.9
    assert correct[0] == pytest.approx(0.75, abs=0.03)
    assert correct[-1] < 0.1
    assert softmax(held.found.scores[:1], calibration.sharpness)[0, 0] == pytest.approx(0.75, abs=0.01)


def test_too_few_questions_leave_the_default_calibration():
    assert fit_calibration([held_out(400, 5)]).sharpness == default_calibration().sharpness
    assert fit_calibration([]).sharpness == default_calibration().sharpness


def test_metrics_of_hand_made_rankings():
    rankings = [["a", "b", "c"], ["b", "a"], ["c", "b", "a"], []]
    truths = ["a", "a", "a", "a"]
    assert top_k(rankings, truths, k=1) == 0.25
    assert top_k(rankings, truths, k=2) == 0.5
    assert top_k(rankings, truths, k=3) == 0.75
    assert mean_reciprocal_rank(rankings, truths) == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert fallback_rate([0.1, 0.5, 0.6], floor=0.5) == pytest.approx(1 / 3)
    assert out_of_scope_recall([0.9, 0.5, 0.6], floor=0.5) == pytest.approx(2 / 3)
    assert top_k([], [], k=1) == mean_reciprocal_rank([], []) == fallback_rate([], floor=0.5) == 0.0


def test_calibration_error_of_hand_made_bins():
    # Two bins of ten: 0.9 stated and half right, 0.3 stated and all right.
    assert expected_calibration_error([0.95, 0.95, 0.35], [True, False, True], bins=10) == pytest.approx(
        (2 * 0.45 + 0.65) / 3
    )
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0.0
    assert expected_calibration_error([], []) == 0.0
    with pytest.raises(ValueError):
        expected_calibration_error([0.5], [])


def test_direct_answers_of_hand_made_confidences():
    assert direct_answers([0.9, 0.8, 0.2, 0.95], [True, False, True, True], least=0.8) == (0.75, pytest.approx(2 / 3))
    assert direct_answers([0.1], [True], least=0.8) == (0.0, 1.0)
