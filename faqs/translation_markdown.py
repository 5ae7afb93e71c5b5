"""Markdown taken apart for a translator and put together again: what must stay never depends on the translator.

Only the words leave, as fragments of HTML, the one markup that every translation service understands. Code, links'
addresses, references, escapes and placeholders are marks in it, whose content is put back from the original whatever
came back. Blocks of code and everything else that is not text stay where they are. Pure functions.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": 40}).enable("table")
# The bounds keep a text of openings that nothing closes from being searched to its end for each of them.
_INLINE = re.compile(
    r"""
    (?P<kept> \A\[[ xX]\](?=\s)                                        # a task's box
      | \\[!-/:-@\[-`{-~]                                       # an escaped character
      | (?<!`)(?P<ticks>`{1,20})(?!`) .{1,2000}? (?<!`)(?P=ticks)(?!`)  # code
      | <(?:https?://|mailto:)[^\s<>]{1,2000}>                        # an address in angle brackets
      | (?:https?://|mailto:|www\.)[^\s<>()]{0,2000}[^\s<>().,;:!?'"*_]  # a bare address
      | [\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+                   # a mail address
      | \{\{[^{}]{1,80}\}\} | \{\w{1,80}\} )                          # a placeholder
  | (?P<open> !?\[ ) (?P<label> (?: [^\[\]\\] | \\. | \[ [^\[\]]{0,200} \] ){1,1000} )
    (?P<close> \] (?: \( (?: <[^<>\n]{0,2000}> | (?: [^()\s] | \( [^()\s]{0,500} \) ){0,2000} )
                     (?: \s+ (?: "[^"]{0,300}" | '[^']{0,300}' ) )? \s* \)
                  | \[ [^\[\]]{0,200} \] )? )                          # a link or an image
  | (?P<strong> \*\* | __ ) (?=\S) (?P<bold> .{1,500}? ) (?<=\S) (?P=strong)
  | (?P<stress> (?<![\w*])\* | (?<![\w_])_ ) (?=[^\s*_]) (?P<slant> .{1,500}? ) (?<=[^\s*_]) (?P=stress) (?![\w*_])
    """,
    re.VERBOSE | re.DOTALL,
)
_LETTER = re.compile(r"[^\W\d_]")
# What would become code or an address in the place of text.
_SYNTAX = re.compile(r"`|\]\(|\]\[|://|mailto:", re.IGNORECASE)
# What would begin another block at the start of a line.
_BLOCK_START = re.compile(r"\d{1,9}(?=[.)](?:\s|$))|(?=[-+*](?:\s|$)|\#{1,6}(?:\s|$)|>|[-=_*]+$|~~~)")


class Damaged(ValueError):
    """A translation lacks marks of its fragment, has others, or text that is none."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """Text to translate, as HTML. ``marks`` are what its elements ``k0``, ``k1``, … stand for: (text, "") for what is
    kept as it is, (opening, closing) around text that is translated."""

    html: str
    marks: tuple[tuple[str, str], ...]
    plain: str
    in_cell: bool = False
    starts_line: bool = False

    def restore(self, translated: str) -> str:
        """``translated`` as Markdown on one line, with every mark as it was. Raises Damaged."""
        reader = _Reader(self.marks)
        reader.feed(translated)
        reader.close()
        text = reader.text().strip()
        if not text or {found.lower() for found in _SYNTAX.findall(reader.words)} - {
            found.lower() for found in _SYNTAX.findall(self.plain)
        }:
            raise Damaged
        if self.in_cell:
            text = re.sub(r"(?<!\\)\|", r"\\|", text)
        if self.starts_line and (start := _BLOCK_START.match(text)):
            text = f"{start[0]}\\{text[start.end() :]}"
        return text

    def runs(self) -> list[tuple[str, bool]]:
        """``html`` cut at its marks and at the spaces around them, each part with whether it is to be translated: for
        a fragment whose translation as a whole came back damaged."""
        parts = re.split(r"(<span .*?</span>|<[^>]*>|(?:^|(?<=>))\s+|\s+(?=<|$))", self.html)
        return [(part, not part.startswith("<") and bool(_LETTER.search(part))) for part in parts if part]


def split_markdown(text: str) -> list[str | Fragment]:
    """``text`` as what stays (str) and what is to be translated, in order."""
    lines = text.split("\n")
    tokens: list[Token] = []
    env: dict[str, dict[str, object]] = {}
    _MARKDOWN.block.parse(text, _MARKDOWN, env, tokens)
    references = frozenset(label.casefold() for label in env.get("references", {}))
    pieces: list[str | Fragment] = []
    at, column = 0, 0  # everything before this line and column is in ``pieces``
    for token, in_cell in _inlines(tokens):
        assert token.map is not None
        first, row = token.map[0], 0
        for group in _groups(token.content):
            begin, end = first + row, first + row + len(group) - 1
            row += len(group)
            start = lines[begin].find(group[0], column if begin == at else 0)
            tail = lines[end].rfind(group[-1]) if end > begin else start
            if begin < at or start < 0 or tail < 0:
                continue  # its source reads otherwise than its text: it stays
            piece = fragment(" ".join(group), references, in_cell=in_cell, starts_line=not in_cell)
            stop = tail + len(group[-1])
            if piece is None:
                continue
            pieces += ["\n".join([*_rest(lines, at, column, begin), lines[begin][:start][_from(at, begin, column) :]])]
            pieces.append(piece)
            at, column = end, stop
    pieces.append("\n".join([lines[at][column:], *lines[at + 1 :]]))
    return pieces


def _rest(lines: Sequence[str], at: int, column: int, begin: int) -> list[str]:
    """The lines from ``at`` and ``column`` on that end before ``begin``."""
    return [] if begin == at else [lines[at][column:], *lines[at + 1 : begin]]


def _from(at: int, begin: int, column: int) -> int:
    return column if begin == at else 0


def _inlines(tokens: Sequence[Token]) -> list[tuple[Token, bool]]:
    """The tokens that hold text, each with whether it is a table's cell."""
    return [
        (token, bool(index) and tokens[index - 1].type in ("th_open", "td_open"))
        for index, token in enumerate(tokens)
        if token.type == "inline" and token.map and token.content.strip()
    ]


def _groups(content: str) -> list[list[str]]:
    """The lines of a text that read as one: those that end in a hard break end a group."""
    groups: list[list[str]] = [[]]
    for line in content.split("\n"):
        groups[-1].append(line.strip().removesuffix("\\"))
        if line.endswith(("  ", "\\")):
            groups.append([])
    return [group for group in groups if group]


def fragment(
    text: str, references: frozenset[str] = frozenset(), *, in_cell: bool = False, starts_line: bool = False
) -> Fragment | None:
    """One line of Markdown, or plain text, as a fragment; ``None`` where there is nothing in it to translate."""
    marks: list[tuple[str, str]] = []
    plain: list[str] = []
    marked = _mark(text, references, marks, plain)
    words = "".join(plain)
    if not _LETTER.search(words):
        return None
    return Fragment(marked, tuple(marks), words, in_cell, starts_line)


def _mark(text: str, references: frozenset[str], marks: list[tuple[str, str]], plain: list[str]) -> str:
    """``text`` as HTML. Adds to ``marks``, and the text outside them to ``plain``."""
    parts: list[str] = []
    position = 0

    def words(piece: str) -> None:
        plain.append(piece)
        parts.append(html.escape(piece, quote=False))

    def around(tag: str, opening: str, inner: str, closing: str) -> None:
        number = len(marks)
        marks.append((opening, closing))
        parts.append(f'<{tag} id="k{number}">{_mark(inner, references, marks, plain)}</{tag}>')

    for match in _INLINE.finditer(text):
        words(text[position : match.start()])
        position = match.end()
        if match["kept"]:
            parts.append(f'<span translate="no" id="k{len(marks)}">{html.escape(match["kept"], quote=False)}</span>')
            marks.append((match["kept"], ""))
        elif match["open"]:
            close = match["close"]
            if close == "]" and match["label"].casefold().strip() in references:
                close = f"][{match['label']}]"
            if close == "]":  # brackets in a text
                words(match["open"])
                parts.append(_mark(match["label"], references, marks, plain))
                words("]")
            else:
                around("a", match["open"], match["label"], close)
        elif match["strong"]:
            around("b", match["strong"], match["bold"], match["strong"])
        else:
            around("i", match["stress"], match["slant"], match["stress"])
    words(text[position:])
    return "".join(parts)


class _Reader(HTMLParser):
    """Reads a translated fragment. Raises Damaged for an element that the fragment has not, or not so."""

    def __init__(self, marks: tuple[tuple[str, str], ...]) -> None:
        super().__init__(convert_charrefs=True)
        self._marks = marks
        self._open: list[tuple[str, int]] = []
        self._seen: set[int] = set()
        self._parts: list[str] = []
        self.words = ""

    def text(self) -> str:
        """What was read. Raises Damaged where a mark is missing or open."""
        if self._open or len(self._seen) != len(self._marks):
            raise Damaged
        return "".join(self._parts)

    def _is_kept(self) -> bool:
        return bool(self._open) and self._open[-1][0] == "span"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = re.fullmatch(r"k(\d{1,6})", dict(attrs).get("id") or "")
        number = int(found[1]) if found else -1
        if self._is_kept() or number in self._seen or not 0 <= number < len(self._marks):
            raise Damaged
        if (tag == "span") != (self._marks[number][1] == ""):
            raise Damaged
        self._seen.add(number)
        self._open.append((tag, number))
        self._parts.append(self._marks[number][0])

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            raise Damaged
        self._parts.append(self._marks[self._open.pop()[1]][1])

    def handle_data(self, data: str) -> None:
        if not self._is_kept():
            self._parts.append(re.sub(r"\s+", " ", data))
            self.words += data

    def handle_comment(self, data: str) -> None:
        raise Damaged

    def handle_decl(self, decl: str) -> None:
        raise Damaged

    def handle_pi(self, data: str) -> None:
        raise Damaged

    def unknown_decl(self, data: str) -> None:
        raise Damaged
