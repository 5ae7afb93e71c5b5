"""Texts as parts of a Markdown document in which nobody can speak for somebody else. Pure.

``quoted`` keeps a text's Markdown within a block quote that it cannot leave, ``escaped`` a line as the text it is. What
comes out is inert in every viewer, also in one that lets HTML through: no tag, no image that is loaded, no link but to
http, https and mailto, and no link definition, which would hold for the document as a whole.

Code keeps what elsewhere is replaced, but only where all viewers take it for code: they differ in what a table is.
"""

import re
from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from chatbot_project.lib.text import clean_text

MAX_PARSED = 32_768  # code points of a text in which code is told from other text; in a longer one it is not

Lines = tuple[int, int]  # the first, and the one behind the last

_BREAKS = re.compile("[\x85\u2028\u2029]")
_DEFINITION = re.compile(r"^([ \t>*+\-\d.)]*)\[", re.MULTILINE)
_ACTIVE = re.compile(r"<|!(?=\[)|\]\((?![ \t]*(?:https?://|mailto:))", re.IGNORECASE)
_INERT = {"<": "&lt;", "!": "&#33;", "](": "]\\("}
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&!#$]")
_RUN = re.compile(r"`+")
_RUN_OR_ESCAPE = re.compile(r"\\.|`+", re.DOTALL)
_LINE = re.compile(r"[^\n]*\n?")


def _make_parser(*more: str) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(list(more))
    parser.parse("a | b\n-|-\n")  # its rulers compile themselves at their first use, which is not safe among threads
    return parser


_PARSERS = (_make_parser(), _make_parser("table"))


def escaped(line: str) -> str:
    """``line`` as text within a heading, a list's item or a paragraph: on one line, without any meaning in Markdown."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(clean_text(line).split()))


def quoted(text: str) -> str:
    """``text`` as a block quote: each of its lines begins with ``>``. Takes about a millisecond per KiB of ordinary
    text, and some seconds for the worst of MAX_PARSED."""
    lines = _BREAKS.sub("\n", clean_text(text)).split("\n")
    lines = [f"> {line}" if line.strip() else ">" for line in lines]
    fences, paragraphs = _code_and_prose(lines)
    without = _without_definitions(lines, fences)
    if without != lines:
        # What defined a link is a paragraph now, and lines behind it may have become something else.
        again, paragraphs = _code_and_prose(without)
        if again != fences:
            fences, paragraphs, without = set(), set(), _without_definitions(lines, set())
    return "\n".join(_parts(without, fences, paragraphs))


def _parts(lines: list[str], fences: set[Lines], paragraphs: set[Lines]) -> Iterator[str]:
    """The lines of each fence as they are, of each paragraph, and of what lies between: made inert, in order."""
    at = 0
    for start, end in sorted(fences | paragraphs):
        if at < start:
            yield _ACTIVE.sub(_as_text, "\n".join(lines[at:start]))
        part = "\n".join(lines[start:end])
        yield part if (start, end) in fences else _inert_but_code(part)
        at = end
    if at < len(lines):
        yield _ACTIVE.sub(_as_text, "\n".join(lines[at:]))


def _as_text(found: re.Match[str]) -> str:
    return _INERT[found[0]]


def _without_definitions(lines: list[str], fences: set[Lines]) -> list[str]:
    """``lines`` where a bracket that could begin a link definition is escaped, outside of ``fences``."""
    code = {number for start, end in fences for number in range(start, end)}
    last = max((number for number, line in enumerate(lines) if "]:" in line), default=-1)
    return [
        line if number > last or number in code else _DEFINITION.sub(r"\1\\[", line)
        for number, line in enumerate(lines)
    ]


def _code_and_prose(lines: list[str]) -> tuple[set[Lines], set[Lines]]:
    """The fenced blocks of code, and the paragraphs and headings: those that are some with tables and without them."""
    if sum(map(len, lines)) > MAX_PARSED:
        return set(), set()
    parsed = list(_parsed(lines))
    fences, paragraphs = (
        set.intersection(*({_lines(token) for token in tokens if token.type == kind} for tokens in parsed))
        for kind in ("fence", "inline")
    )
    return fences, paragraphs


def _parsed(lines: list[str]) -> Iterator[list[Token]]:
    for parser in _PARSERS:
        tokens: list[Token] = []
        parser.block.parse("\n".join(lines), parser, {}, tokens)
        yield tokens


def _lines(token: Token) -> Lines:
    assert token.map is not None
    return token.map[0], token.map[1]


def _inert_but_code(paragraph: str) -> str:
    """``paragraph`` made inert except where it is a span of code, taken as a whole and line by line."""
    as_whole = list(_code_spans(paragraph, 0, len(paragraph)))
    by_line = [span for m in _LINE.finditer(paragraph) for span in _code_spans(paragraph, m.start(), m.end())]

    def replaced(found: re.Match[str]) -> str:
        is_code = _is_within(found.start(), as_whole) and _is_within(found.start(), by_line)
        return found[0] if is_code else _INERT[found[0]]

    return _ACTIVE.sub(replaced, paragraph)


def _is_within(position: int, spans: list[tuple[int, int]]) -> bool:
    """Whether one of ``spans``, which are in order, holds ``position``."""
    place = bisect_right(spans, (position, position)) - 1
    return place >= 0 and position < spans[place][1]


def _code_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of code between ``start`` and ``end``, in order (CommonMark 0.31, section 6.1). Linear."""
    closings: dict[int, deque[int]] = defaultdict(deque)
    for run in _RUN.finditer(text, start, end):
        closings[len(run[0])].append(run.start())
    at = start
    while (opening := _RUN_OR_ESCAPE.search(text, at, end)) is not None:
        at = opening.end()
        if opening[0].startswith("\\"):
            continue
        waiting = closings[len(opening[0])]
        while waiting and waiting[0] < at:
            waiting.popleft()
        if waiting:
            at = waiting[0] + len(opening[0])
            yield opening.start(), at
