"""Markdown from models and people as HTML that is safe to put into a page. Pure.

Three walls stand one behind the other: raw HTML in the source is text; only http, https and mailto become links and
no image is ever loaded; and nh3 lets only the tags, attributes and classes through that are made here.

A streaming reply is rendered block by block. CommonMark decides line by line, and a top-level block that has been
closed cannot change any more, so what `BlockSplitter` gives out is final, however the text was cut on its way.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from chatbot_project.lib.highlight import CLASSES, Budget, highlight

MAX_MARKDOWN = 65_536  # code points rendered in one go: at most about a second, whatever they are
MAX_CACHED = 16_384
MAX_TOKENS = 50_000  # a table of wide and short rows makes many out of little
MAX_BRACKETS = 1000  # in one paragraph: what the search for links costs grows faster than their number
MAX_NESTING = 24  # two levels for each list in a list; text that nests deeper is shown as it was written

# A host without a user's name before it, which only serves to mislead; the parser has made it ASCII by then.
_SAFE_LINK = re.compile(
    r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#][^\s\\]*)?|mailto:[^\s/\\]+", re.IGNORECASE
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,30}")
_TASK = re.compile(r"\[([ xX])\] ")


# --- Rendering --------------------------------------------------------------------------------------------------------
class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """True for an absolute http, https or mailto address; any other stays the text it was."""
        return _SAFE_LINK.fullmatch(url) is not None


class _Renderer(RendererHTML):
    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        words = token.info.split(maxsplit=1)
        match = _LANGUAGE.match(words[0]) if words else None
        return _code_block(token.content, match[0].lower() if match else "", env)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code_block(tokens[idx].content, "", env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"


def _code_block(code: str, language: str, env: EnvType) -> str:
    inner = highlight(code, language, env["budget"])
    return (
        f'<div class="code-block" data-language="{escape(language or "text")}">'
        f'<pre tabindex="0"><code class="highlight">{inner}</code></pre></div>\n'
    )


def _bound_inline(state: StateCore) -> None:
    """Core rule: what would take too long is left out (`_render` sees that) or, in one paragraph, left as text."""
    if len(state.tokens) > MAX_TOKENS:
        state.env["too_much"] = True
        state.tokens = []
    for token in state.tokens:
        if token.type == "inline" and token.content.count("[") > MAX_BRACKETS:
            token.type = "text"


def _shape_tokens(state: StateCore) -> None:
    """Core rule: images become links, cells get a class for their alignment, task boxes a character."""
    for index, token in enumerate(state.tokens):
        if token.type == "inline" and token.children:
            token.children = _without_images(token.children)
            if index >= 2 and state.tokens[index - 2].type == "list_item_open":
                _show_task_box(token.children[0])
        elif token.type in ("th_open", "td_open") and "style" in token.attrs:
            side = str(token.attrs.pop("style")).rpartition(":")[2]
            token.attrs["class"] = f"align-{side}"


def _without_images(children: list[Token]) -> list[Token]:
    """``children`` where an image is a link with its alternative text, or inside a link that text alone."""
    shaped: list[Token] = []
    links = 0
    for child in children:
        links += child.nesting if child.type in ("link_open", "link_close") else 0
        if child.type != "image":
            shaped.append(child)
            continue
        text = Token("text", "", 0, content=_plain(child.children or []) or str(child.attrs["src"]))
        if links:
            shaped.append(text)
        else:
            shaped += [
                Token("link_open", "a", 1, attrs={"href": child.attrs["src"]}),
                text,
                Token("link_close", "a", -1),
            ]
    for child in shaped:
        if child.type == "link_open":
            child.attrs["target"] = "_blank"
    return shaped


def _plain(tokens: Sequence[Token]) -> str:
    breaks = ("softbreak", "hardbreak")
    return "".join(
        _plain(token.children or []) if token.type == "image" else " " if token.type in breaks else token.content
        for token in tokens
    )


def _show_task_box(first: Token) -> None:
    match = _TASK.match(first.content) if first.type == "text" else None
    if match:
        first.content = f"{'☐' if match[1] == ' ' else '☑'} {first.content[match.end() :]}"


def _make_markdown() -> _Markdown:
    markdown = _Markdown("commonmark", {"html": False, "maxNesting": MAX_NESTING}, renderer_cls=_Renderer)
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.before("inline", "bound_inline", _bound_inline)
    markdown.core.ruler.push("shape", _shape_tokens)
    # The rulers compile themselves at their first use, which is not safe among threads: do it here.
    markdown.render("# a\n\n[a](https://example.com)\n\n- a\n\n> a\n\na | b\n-|-\n", {"budget": Budget()})
    return markdown


_MARKDOWN = _make_markdown()
_TAGS = "a blockquote br code div em h1 h2 h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul"
_CLEANER = nh3.Cleaner(
    tags=set(_TAGS.split()),
    attributes={"a": {"href", "title"}, "ol": {"start"}, "div": {"data-language"}},
    tag_attribute_values={
        "a": {"target": {"_blank"}},
        "div": {"tabindex": {"0"}},
        "pre": {"tabindex": {"0"}},
    },
    allowed_classes={
        "div": {"code-block", "table", "plain-text"},
        "code": {"highlight"},
        "span": set(CLASSES),
        "th": {"align-left", "align-center", "align-right"},
        "td": {"align-left", "align-center", "align-right"},
    },
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow ugc",
    strip_comments=True,
)


def render(text: str) -> str:
    """``text`` as safe HTML. Never raises; takes about a millisecond per KiB of ordinary text.

    A text longer than MAX_MARKDOWN is rendered block by block, and a single block of that length shown as written.
    """
    if len(text) <= MAX_CACHED:
        return _render_cached(text)
    if len(text) <= MAX_MARKDOWN:
        return _render(text)
    blocks = BlockSplitter().feed(text)
    rest = text[blocks[-1].end :] if blocks else text
    return "".join(block.html for block in blocks) + _render(rest)


def _render(text: str) -> str:
    text = _SURROGATE.sub("\ufffd", text)
    if len(text) > MAX_MARKDOWN:
        return _plain_text(text)
    env: dict[str, Any] = {"budget": Budget()}
    tokens = _MARKDOWN.parse(text, env)
    # The parser leaves out what nests too deep, but nothing of the source may be lost.
    if "too_much" in env or max((token.level for token in tokens), default=0) >= MAX_NESTING - 2:
        return _plain_text(text)
    return _CLEANER.clean(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))


_render_cached = lru_cache(maxsize=2048)(_render)


def _plain_text(text: str) -> str:
    return f'<div class="plain-text">{escape(text)}</div>\n'


# --- Blocks of a text that is still growing ---------------------------------------------------------------------------
class Block(NamedTuple):
    """A finished top-level block: it reaches to code point ``end`` of the text, and ``html`` is safe."""

    end: int
    html: str


_NEWLINE = re.compile(r"\r\n?|\n")
_BLANK = re.compile(r"[ \t]*\n")
_LINE = re.compile(r"[^\n]*\n")
_FENCE_OPEN = re.compile(r" {0,3}(`{3,}(?=[^`\n]*\n)|~{3,})")
_LIST_ITEM = re.compile(r" {0,3}(?:([-+*])|\d{1,9}([.)]))[ \t](?![^\n]*\|)")  # with a | it may head a table
_THEMATIC_BREAK = re.compile(r" {0,3}([-_*])(?:[ \t]*\1){2,}[ \t]*\n")
_TEXT = re.compile(r"[^\W\d_]|\|(?![|:\- \t]*\n)")
_EXACT_UP_TO = 2048
_BACK_OFF = 8


class BlockSplitter:
    """Finds the top-level blocks of one growing text as soon as nothing that follows can change them.

    Feed it the whole text so far, any number of times; ``start`` is where its open block begins. Lines that cannot
    finish a block are passed over without parsing. Above 2,048 code points an open block is parsed only after it has
    grown by an eighth, which keeps the work linear: the end of such a block may be noticed some lines late.

    Links by reference work within a block. A reply's final HTML comes from the whole text and knows them all.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self._opening = start  # its first line that is not blank is here or further on
        self._scanned = start  # complete lines before this need no further look
        self._parsed = 0  # length of the open block when it was last parsed in vain

    def feed(self, text: str) -> list[Block]:
        """The blocks of ``text`` finished since the last call, in order; never the open one."""
        end = text.rfind("\n", self._scanned) + 1
        if not end:
            return []
        if not self._may_finish(text, end):
            self._scanned = end
            return []
        size = end - self.start
        if _EXACT_UP_TO < size < self._parsed + self._parsed // _BACK_OFF:
            return []
        blocks = []
        for stop in _finished_ends(text[self.start : end], self.start):
            blocks.append(Block(stop, render(text[self.start : stop])))
            self.start = self._opening = stop
        self._scanned = end
        self._parsed = end - self.start
        return blocks

    def _may_finish(self, text: str, end: int) -> bool:
        """False where no line between the scanned ones and ``end`` can finish the open block."""
        opening = self._opening
        while blank := _BLANK.match(text, opening, end):
            opening = blank.end()
        self._opening = opening
        if opening == end:
            return False
        if text.find("\r", self.start, end) >= 0:
            return True  # other line ends than \n: left to the parser
        if fence := _FENCE_OPEN.match(text, opening, end):
            closing = _closing_fence(fence[1])
            since = max(self._scanned, text.index("\n", opening) + 1)
            self._parsed = 0
            return closing.search(text, since, end) is not None
        kind = _kind(text, opening, end)
        lines = _LINE.finditer(text, max(self._scanned, opening), end)
        return not kind or any(not _goes_on(text, line.start(), end, kind) for line in lines)


def finished_blocks(text: str, start: int) -> list[Block]:
    """The finished top-level blocks of ``text`` from code point ``start`` on, which is an earlier block's end or 0.

    For a text that grows, a BlockSplitter of its own does the same for less.
    """
    return BlockSplitter(start).feed(text)


@lru_cache(maxsize=64)
def _closing_fence(opening: str) -> re.Pattern[str]:
    return re.compile(rf"^ {{0,3}}{opening[0]}{{{min(len(opening), 1000)},}}[ \t]*$", re.MULTILINE)


def _kind(text: str, position: int, end: int) -> str:
    """What the line at ``position`` opens: ``text``, a list (its marker), or else nothing: ask the parser."""
    if _TEXT.match(text, position, end):
        return "text"
    item = _LIST_ITEM.match(text, position, end)
    if item and not _THEMATIC_BREAK.match(text, position, end):
        return item[1] or item[2]
    return ""


def _goes_on(text: str, position: int, end: int, kind: str) -> bool:
    """True for a line that leaves a block of this ``kind`` open: more text; in a list a blank line or its next item."""
    if kind != "text" and _BLANK.match(text, position, end):
        return True
    return _kind(text, position, end) == kind


def _finished_ends(source: str, offset: int) -> list[int]:
    """Where the finished top-level blocks of ``source``, which consists of complete lines, end; plus ``offset``.

    Paragraphs, quotes and tables are finished by a blank line or the next block, headings, rules and closed fences by
    themselves, lists and indented code by the next line that is neither blank nor theirs.
    """
    tokens: list[Token] = []
    _MARKDOWN.block.parse(_NEWLINE.sub("\n", source).replace("\0", "\ufffd"), _MARKDOWN, {}, tokens)
    blocks = [
        token for token in tokens if token.level == 0 and token.nesting >= 0 and token.map and token.type != "inline"
    ]
    starts = [0, *(match.end() for match in _NEWLINE.finditer(source))]
    lines = [source[a:b].rstrip(" \t\r\n") for a, b in pairwise(starts)]
    ends = []
    for block in blocks:
        assert block.map is not None
        line = block.map[1]
        is_last = block is blocks[-1]
        if block.type in ("bullet_list_open", "ordered_list_open", "code_block"):
            while line < len(lines) and not lines[line]:
                line += 1
            is_open = is_last
        elif block.type == "fence":
            is_open = is_last and not _is_closed(block, lines)
        elif block.type in ("heading_open", "hr"):
            is_open = False
        else:
            is_open = is_last and line >= len(lines)
        if is_open:
            break
        ends.append(offset + starts[line])
    return ends


def _is_closed(fence: Token, lines: list[str]) -> bool:
    assert fence.map is not None
    first, stop = fence.map
    last = lines[stop - 1]
    is_long_enough = len(last.lstrip(" ")) >= len(fence.markup)  # the pattern looks at a thousand at most
    return stop - first > 1 and is_long_enough and _closing_fence(fence.markup).match(last) is not None
