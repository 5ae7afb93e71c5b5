"""Word and character n-grams of a text, weighted by tf-idf, with nothing but Python and numpy."""

import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]

WORD = re.compile(r"\w+")
# A question is at most this long for its n-grams; what follows in a pasted letter does not change what is asked.
MAX_WORDS = 256
MAX_WORD_LENGTH = 40
CHARACTER_SIZES = (3, 4, 5)
# Stands before runs of characters, so that none of them is taken for a word.
MARK = "\t"


def words_of(text: str) -> list[str]:
    """The words of `text`, folded to one case and one Unicode form, at most MAX_WORDS of at most MAX_WORD_LENGTH."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words: list[str] = []
    for match in WORD.finditer(folded):
        words.append(match.group()[:MAX_WORD_LENGTH])
        if len(words) == MAX_WORDS:
            break
    return words


def word_grams(words: Sequence[str]) -> list[str]:
    """Words, and pairs of neighbours joined by a space."""
    return [*words, *(f"{first} {second}" for first, second in itertools.pairwise(words))]


def character_grams(words: Sequence[str]) -> list[str]:
    """Runs of 3 to 5 characters of the words with one space before, between and after; each after a MARK."""
    line = f" {' '.join(words)} " if words else ""
    return [
        MARK + line[start : start + size] for size in CHARACTER_SIZES for start in range(max(0, len(line) - size + 1))
    ]


class Vocabulary:
    """The n-grams known to a matcher, with their inverse document frequencies.

    A text becomes the concatenation of two unit vectors (words, characters) scaled to length one together, so the dot
    product of two texts is the mean of their two cosines, from 0 to 1.
    """

    def __init__(self, grams: Sequence[str], idf: FloatArray) -> None:
        if len(grams) != len(idf):
            raise ValueError("A vocabulary needs one weight per n-gram.")
        self.grams = list(grams)
        self.idf = idf
        self._index = {gram: index for index, gram in enumerate(self.grams)}
        # The single words stand first: `gram_kind` sorts so.
        self.words = sum(gram_kind(gram)[0] == 0 for gram in self.grams)

    def __len__(self) -> int:
        return len(self.grams)

    def weigh(self, text: str) -> tuple[IntArray, FloatArray]:
        """Indexes and weights, (1 + ln tf) * idf and scaled as above, of the known n-grams of `text`."""
        words = words_of(text)
        halves = [self._weigh_half(word_grams(words)), self._weigh_half(character_grams(words))]
        indexes = np.concatenate([half[0] for half in halves])
        weights = np.concatenate([half[1] for half in halves])
        return indexes, weights

    def _weigh_half(self, grams: Sequence[str]) -> tuple[IntArray, FloatArray]:
        known = Counter(index for index in map(self._index.get, grams) if index is not None)
        indexes = np.fromiter(known.keys(), dtype=np.int32, count=len(known))
        counts = np.fromiter(known.values(), dtype=np.float32, count=len(known))
        weights = (1 + np.log(counts)) * self.idf[indexes]
        # Half of the squared length each: the two halves together have length one.
        length = math.sqrt(2 * float(weights @ weights))
        return indexes, weights / length if length else weights


def gram_kind(gram: str) -> tuple[int, str]:
    """Sorts single words before pairs of words before runs of characters."""
    return (2 if gram.startswith(MARK) else 1 if " " in gram else 0), gram
