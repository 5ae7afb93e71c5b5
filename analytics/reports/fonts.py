"""The letters of PDF reports: fonts that come with packages of PyPI, so that no machine has to have any."""

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cvttf_NotoSansCJK_Regular
from fontTools.ttLib import TTFont
from pymupdf_fonts import FiraGO_Bold, FiraGO_Regular

#: FiraGO: Latin, Greek, Cyrillic, Georgian, Arabic, Hebrew, Thai, Devanagari. SIL Open Font License 1.1.
REGULAR, BOLD = FiraGO_Regular.fontbuffer, FiraGO_Bold.fontbuffer
#: Noto Sans CJK: what FiraGO has not of Chinese, Japanese and Korean. SIL Open Font License 1.1.
CJK = Path(cvttf_NotoSansCJK_Regular.get_TTF_path())

_INSTEAD = "\N{WHITE VERTICAL RECTANGLE}"
_UNSEEN = frozenset("\n\t\u200b\u200c\u200d\u200e\u200f\ufe0e\ufe0f")


@cache
def _ours() -> frozenset[int]:
    with TTFont(io.BytesIO(REGULAR), lazy=True) as font:
        return frozenset(font.getBestCmap())


@cache
def _of_cjk() -> frozenset[int]:
    with TTFont(CJK, lazy=True) as font:
        return frozenset(font.getBestCmap())


def needs_cjk(texts: Iterable[str]) -> bool:
    """Whether anything of ``texts`` is in the second font alone, which takes half a second to open."""
    return any(ord(letter) not in _ours() and letter not in _UNSEEN for text in texts for letter in text)


def written(text: str) -> str:
    """``text`` with a square for each letter that neither font has, and without what only an emoji needs."""
    return "".join(
        letter if ord(letter) in _ours() or ord(letter) in _of_cjk() else _INSTEAD
        for letter in text
        if letter not in _UNSEEN or ord(letter) in _ours()
    )
