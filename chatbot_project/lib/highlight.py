"""Source code as HTML with Pygments' short CSS classes, and the style sheet that gives them colour. Pure.

Many of Pygments' lexers take quadratic time on text made for it (measured: 16 KiB of short lines as C# took 33 s), so
code gets a share of CPU time and a bound on its size; beyond either it is shown without colours.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from html import escape
from time import thread_time
from typing import Any

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.style import Style
from pygments.styles import get_style_by_name
from pygments.token import STANDARD_TYPES, Token, _TokenType

MAX_CODE = 16_384  # characters
CPU_SECONDS = 0.25  # for all the code of one text; ordinary code takes about 5 ms per KiB at the most

# What people ask about. A short list on purpose: each lexer is code that meets hostile text.
_NAMES = (
    "bash c c# c++ cpp cs csharp css clojure clj dart diff docker dockerfile elixir ex erlang go golang graphql haskell"
    " hs html http ini java javascript js json jsx julia jl kotlin latex tex less lua make makefile markdown md"
    " nginx objective-c objc ocaml perl pl php postgresql powershell ps1 protobuf py py3 pycon python python3 r rb ruby"
    " rs rust sass scala scss sh shell console sql swift terraform hcl toml ts tsx typescript vb.net vim vue xml"
    " yaml yml zig zsh"
)
LANGUAGES = frozenset(_NAMES.split())
CLASSES = frozenset(STANDARD_TYPES.values()) - {""}


class Budget:
    """CPU seconds left for highlighting within one text. For one thread."""

    def __init__(self, seconds: float = CPU_SECONDS) -> None:
        self._end = thread_time() + seconds

    def is_spent(self) -> bool:
        return thread_time() > self._end

    @contextmanager
    def spared(self) -> Iterator[None]:
        """What is done within the block costs nothing."""
        began = thread_time()
        yield
        self._end += thread_time() - began


@lru_cache(maxsize=256)
def _lexer(language: str) -> Lexer | None:
    if language not in LANGUAGES:
        return None
    try:
        lexer: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ValueError:  # a Pygments that does not know this name: the code is shown plain
        return None
    return lexer


def _css_class(kind: _TokenType) -> str:
    while kind not in STANDARD_TYPES and kind.parent is not None:
        kind = kind.parent
    return STANDARD_TYPES.get(kind, "")


def highlight(code: str, language: str, budget: Budget) -> str:
    """``code`` as safe HTML: escaped text, and ``<span class=…>`` where ``language`` is known and the budget lasts."""
    with budget.spared():  # the first use in a process loads it, whatever the text
        lexer = _lexer(language)
    if lexer is None or len(code) > MAX_CODE or budget.is_spent():
        return escape(code)
    parts: list[str] = []
    length = 0
    for kind, value in lexer.get_tokens(code):
        if budget.is_spent():
            return escape(code)
        length += len(value)
        name = _css_class(kind)
        parts.append(f'<span class="{name}">{escape(value)}</span>' if name else escape(value))
    # Lexers drop a byte order mark and normalise line ends; what the model wrote counts more than its colours.
    return "".join(parts) if length == len(code) else escape(code)


# --- The style sheet --------------------------------------------------------------------------------------------------
LIGHT_STYLE, LIGHT_BACKGROUND = "friendly", "f4f2ec"
DARK_STYLE, DARK_BACKGROUND = "one-dark", "121613"
CONTRAST = 4.6  # WCAG AA asks for 4.5


def _luminance(colour: str) -> float:
    """Relative luminance of ``rrggbb`` (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours ``rrggbb``, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _readable(colour: str, background: str) -> str:
    """``colour``, moved towards black or white until it can be read on ``background``."""
    target = 0 if _luminance(background) > 0.5 else 255
    for step in range(101):
        mixed = "".join(
            f"{round(int(colour[i : i + 2], 16) * (100 - step) / 100 + target * step / 100):02x}" for i in (0, 2, 4)
        )
        if contrast(mixed, background) >= CONTRAST:
            return mixed
    return mixed


def _declarations(light: Mapping[str, Any], dark: Mapping[str, Any]) -> list[str]:
    declarations = []
    light_colour, dark_colour = light["color"] or "", dark["color"] or ""
    if light_colour or dark_colour:
        first = f"#{_readable(light_colour, LIGHT_BACKGROUND)}" if light_colour else "currentcolor"
        second = f"#{_readable(dark_colour, DARK_BACKGROUND)}" if dark_colour else "currentcolor"
        declarations.append(f"color: light-dark({first}, {second})")
    if light["bold"] or dark["bold"]:
        declarations.append("font-weight: 600")
    if light["italic"] or dark["italic"]:
        declarations.append("font-style: italic")
    return declarations


def stylesheet() -> str:
    """The content of ``static/css/highlight.css``: Pygments' styles for light and dark, with readable contrast."""
    light: type[Style] = get_style_by_name(LIGHT_STYLE)
    dark: type[Style] = get_style_by_name(DARK_STYLE)
    lines = [
        "/* Colours of code, made from Pygments' styles by `python -m chatbot_project.lib.highlight`: do not edit. */"
    ]
    for kind, name in sorted(STANDARD_TYPES.items(), key=lambda item: item[1]):
        if not name or kind in (Token.Error, Token.Text, Token.Text.Whitespace, Token.Escape, Token.Other):
            continue
        declarations = _declarations(light.style_for_token(kind), dark.style_for_token(kind))
        if declarations:
            lines.append(f".highlight .{name} {{ {'; '.join(declarations)}; }}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(stylesheet())
