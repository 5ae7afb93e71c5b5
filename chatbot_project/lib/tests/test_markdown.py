"""Markdown rendering: what comes out is right, inert, bounded, and the same however a stream was cut."""

import re
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chatbot_project.lib import highlight, markdown
from chatbot_project.lib.markdown import BlockSplitter, finished_blocks, render

ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "div": {"class", "data-language", "tabindex"},
    "pre": {"tabindex"},
    "code": {"class"},
    "span": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
ALLOWED |= {name: set() for name in ("blockquote", "br", "em", "hr", "li", "p", "s", "strong", "ul")}
ALLOWED |= {name: set() for name in ("table", "tbody", "thead", "tr", "h1", "h2", "h3", "h4", "h5", "h6")}
VOID = {"br", "hr"}


class Outline(HTMLParser):
    """Reads HTML as a browser would: every start tag with its attributes, the text, and whether tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.odd: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.odd += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.odd.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.odd.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.odd.append(decl)

    def links(self) -> list[str | None]:
        return [attrs.get("href") for tag, attrs in self.tags if tag == "a"]


def assert_inert(html: str) -> Outline:
    """Only the tags and attributes that the renderer makes, links only to where they may go."""
    outline = Outline(html)
    assert outline.odd == []
    for tag, attrs in outline.tags:
        assert tag in ALLOWED, tag
        assert set(attrs) <= ALLOWED[tag], (tag, attrs)
        if "href" in attrs:
            assert re.fullmatch(r"(https?://|mailto:)[^\s]+", attrs["href"] or "", re.IGNORECASE), attrs
            assert attrs["target"] == "_blank"
            assert set((attrs["rel"] or "").split()) == {"noopener", "noreferrer", "nofollow", "ugc"}
    return outline


# --- What it makes ----------------------------------------------------------------------------------------------------
def test_ordinary_markdown_becomes_html() -> None:
    assert render("# A *b*\n\nc **d** ~~e~~ `f`\ng\\\nh") == (
        "<h1>A <em>b</em></h1>\n<p>c <strong>d</strong> <s>e</s> <code>f</code>\ng<br>\nh</p>\n"
    )


def test_a_table_keeps_its_alignment_without_inline_style() -> None:
    html = render("a | b | c\n:- | :-: | -:\n1 | 2 | 3\n")
    outline = assert_inert(html)
    assert html.startswith('<div class="table" tabindex="0"><table>')
    assert [attrs["class"] for tag, attrs in outline.tags if tag == "td"] == [
        "align-left",
        "align-center",
        "align-right",
    ]


def test_an_ordered_list_keeps_its_first_number() -> None:
    assert render("3. a\n4. b\n") == '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>\n'


def test_task_items_show_a_box() -> None:
    assert render("- [ ] a\n- [x] **b**\n- [y] c\n") == (
        "<ul>\n<li>☐ a</li>\n<li>☑ <strong>b</strong></li>\n<li>[y] c</li>\n</ul>\n"
    )


def test_a_safe_link_opens_apart_and_names_no_referrer() -> None:
    outline = assert_inert(render('[a](https://example.com/?q=1&r=2 "t") <http://b.example> [m](mailto:x@example.com)'))
    assert outline.links() == ["https://example.com/?q=1&r=2", "http://b.example", "mailto:x@example.com"]


def test_code_is_highlighted_by_classes_alone() -> None:
    html = render('```python\ndef f():\n    return "<b>"\n```\n')
    assert html.startswith(
        '<div class="code-block" data-language="python"><pre tabindex="0"><code class="highlight">'
        '<span class="k">def</span>'
    )
    assert assert_inert(html).text == 'def f():\n    return "<b>"\n\n'


@pytest.mark.parametrize("source", ["```\na < b\n```\n", "~~~ no-such-language\na < b\n~~~\n", "    a < b\n"])
def test_code_of_no_known_language_is_shown_plain(source: str) -> None:
    outline = assert_inert(render(source))
    assert outline.text == "a < b\n\n"
    assert "span" not in {tag for tag, _ in outline.tags}


def test_a_languages_name_cannot_break_out_of_its_attribute() -> None:
    outline = assert_inert(render('```py"onclick=alert(1)\nx\n```\n'))
    assert [attrs.get("data-language") for tag, attrs in outline.tags if tag == "div"] == ["py"]


@pytest.mark.parametrize("name", sorted(highlight.LANGUAGES))
def test_every_listed_language_is_known_and_loses_no_character(name: str) -> None:
    code = "# a\n\tif (x < 1) { return \"é\\n\"; } // b\n\n\n$y = 'z'\r\n"
    assert highlight._lexer(name) is not None
    assert Outline(highlight.highlight(code, name, highlight.Budget())).text == code


# --- What it refuses --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "source",
    [
        "![alt](https://tracker.example/p.png)",
        "![alt][r]\n\n[r]: https://tracker.example/p.png",
        "![alt]\n\n[alt]: https://tracker.example/p.png",
        "[![alt](https://tracker.example/p.png)](https://example.com)",
        '![*alt*](https://tracker.example/p.png "t")',
    ],
)
def test_an_image_is_never_loaded_but_can_be_opened(source: str) -> None:
    outline = assert_inert(render(source))
    assert "img" not in {tag for tag, _ in outline.tags}
    assert len(outline.links()) == 1
    assert outline.text.strip() == "alt"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\tscript:alert(1)",
        "&#106;avascript:alert(1)",
        "&#x6A;avascript&colon;alert(1)",
        "javascript&#58;alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "data:image/png;base64,AAAA",
        "vbscript:x",
        "smb://host/share",
        "file:///etc/passwd",
        "//host.example/x",
        "\\\\host\\share",
        "http:\\\\host",
        "http:///host",
        "https:host",
        "/admin/",
        "#top",
        "?q=1",
        "relative",
        "blob:https://x/1",
        "https://bank.example@evil.example/",
        "https://bank.example:x/",
    ],
)
@pytest.mark.parametrize("form", ["[x]({})", "[x](<{}>)", "![x]({})", "[x]\n\n[x]: {}", "![x][y]\n\n[y]: <{}>", "<{}>"])
def test_any_other_address_is_text(url: str, form: str) -> None:
    outline = assert_inert(render(form.format(url)))
    assert "a" not in {tag for tag, _ in outline.tags}


XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<style>@import 'https://evil.example/x.css';</style>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)><embed src=//evil.example>",
    "<form action=//evil.example><input name=a><button formaction=javascript:alert(1)>",
    "<base href=//evil.example><link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<a href='javascript:alert(1)' onclick=alert(1)>x</a>",
    "<div style='background:url(//evil.example)'>x</div>",
    "<!--<img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?php echo 1 ?><!DOCTYPE html>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "[a](https://e.example '\"><img src=x onerror=alert(1)>')",
    "[<img src=x onerror=alert(1)>](https://e.example)",
    "![\"><img src=x onerror=alert(1)>](https://e.example)",
    "<https://e.example/\"onmouseover=alert(1)>",
    "[a](https://e.example/\"onmouseover=alert`1`)",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "```\"><script>alert(1)</script>\nx\n```",
    "a | <img src=x onerror=alert(1)>\n-|-\n<svg/onload=alert(1)> | </table><script>alert(1)</script>",
    "> <script>\n> alert(1)\n\n- <script>alert(1)</script>\n",
    "<http://a\x00b> [x](http://a\x00b)",
    "<scr\x00ipt>alert(1)</script>",
    "\ud800<script>\udfff",
    "<plaintext><xmp><textarea></textarea><title><script>alert(1)</script>",
]  # fmt: skip


@pytest.mark.parametrize("source", XSS)
def test_markup_in_the_source_is_inert(source: str) -> None:
    assert_inert(render(source))
    for block in finished_blocks(source + "\n\nend\n\n", 0):
        assert_inert(block.html)


def test_markup_in_the_source_is_shown_as_written() -> None:
    assert Outline(render("<b>x</b> <!-- y -->")).text == "<b>x</b> <!-- y -->\n"


@given(
    st.lists(
        st.sampled_from([*XSS, "\n", "\n\n", "> ", "- ", "    ", "```\n", "*", "[", "](", "|", "|-|\n"]), max_size=12
    )
)
def test_markup_stays_inert_in_any_mixture(parts: list[str]) -> None:
    assert_inert(render("".join(parts)))


def test_the_sanitiser_alone_stops_what_the_renderer_would_never_make() -> None:
    hostile = (
        '<img src=x onerror=alert(1)><a href="javascript:alert(1)" style="x">y</a><script>z</script>'
        '<span class="k evil">k</span><div tabindex="5" class="modal">m</div>'
        '<svg><a xlink:href="javascript:1">s</a></svg>'
    )
    cleaned = markdown._CLEANER.clean(hostile)
    assert "evil" not in cleaned
    assert "modal" not in cleaned
    tags = Outline(cleaned).tags
    assert {tag for tag, _ in tags} <= set(ALLOWED)
    assert not any(
        value in attrs for _, attrs in tags for value in ("style", "onerror", "href", "xlink:href", "tabindex")
    )


# --- Bounds -----------------------------------------------------------------------------------------------------------
SIZE = 65_536
HOSTILE = {
    "quote markers": ">" * SIZE,
    "spaced quote markers": "> " * (SIZE // 2),
    "quotes": ">a\n" * (SIZE // 3),
    "stars": "a " + "*" * 100_000,
    "open emphasis": "*a " * (SIZE // 3),
    "mixed emphasis": "**a*b" * (SIZE // 5),
    "strikethrough": "~~a" * (SIZE // 3),
    "open brackets": "[" * SIZE,
    "open images": "![" * (SIZE // 2),
    "open links": "[a](" * (SIZE // 4),
    "bracket pairs": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "images": "![a](http://b)" * (SIZE // 14),
    "backticks": "".join("`" * n + " " for n in range(1, 360)),
    "entities": "&" * SIZE,
    "less than": "<" * SIZE,
    "nested lists": "".join("  " * n + "- a\n" for n in range(250)),
    "list": "- a\n" * (SIZE // 4),
    "loose list": "- a\n\n b\n" * (SIZE // 8),
    "wide table": "|a" * 1000 + "\n" + "|-" * 1000 + "\n" + "|\n" * 30_000,
    "long table": "a|b\n-|-\n" + "a|b\n" * (SIZE // 4),
    "definitions": "[a]: /b\n" * (SIZE // 8),
    "setext": "a\n=\n" * (SIZE // 4),
    "lines": "\n" * SIZE,
    "code as C#": "```csharp\n" + "a\n" * 8000 + "```\n",
    "code as make": "```make\n" + "_" * 16_000 + "\n```\n",
    "many code blocks": ("```make\n" + "_" * 2000 + "\n```\n") * 32,
    "many languages": "".join(f"```{name}\n" + "\n\n " * 100 + "\n```\n" for name in sorted(highlight.LANGUAGES))[
        :SIZE
    ],
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_bounded_time_and_space(source: str) -> None:
    began = time.thread_time()
    html = markdown._render(source)
    assert time.thread_time() - began < 3  # the slowest takes about 0.8 s; the margin is for a busy machine
    assert len(html) < 32 * len(source)
    assert_inert(html)


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_streams_in_linear_time(source: str) -> None:
    splitter = BlockSplitter()
    began = time.thread_time()
    for end in range(0, len(source) + 64, 64):
        splitter.feed(source[:end])
    assert time.thread_time() - began < 6


def test_text_that_nests_too_deep_is_shown_as_written() -> None:
    source = "".join("  " * n + f"- item {n}\n" for n in range(40))
    assert render(source) == f'<div class="plain-text">{source}</div>\n'
    assert Outline(render("> " * 60 + "deep")).text.strip().endswith("deep")


def test_text_longer_than_one_go_is_rendered_block_by_block() -> None:
    paragraph = "some *words* here\n\n"
    source = paragraph * (2 * markdown.MAX_MARKDOWN // len(paragraph))
    assert render(source) == "<p>some <em>words</em> here</p>\n" * (len(source) // len(paragraph))
    assert render("x" * (markdown.MAX_MARKDOWN + 1)).startswith('<div class="plain-text">x')


def test_a_paragraph_full_of_brackets_is_text() -> None:
    source = "[a](https://e.example) *b* " * (markdown.MAX_BRACKETS + 1)
    outline = assert_inert(render(source))
    assert [tag for tag, _ in outline.tags] == ["p"]
    assert outline.text.strip() == source.strip()


def test_lone_surrogates_and_nul_do_not_break_it() -> None:
    assert render("a\ud800b\x00c") == "<p>a\ufffdb\ufffdc</p>\n"


# --- Streaming --------------------------------------------------------------------------------------------------------
DOCUMENTS = {
    "prose": "One line.\nAnother.\n\nSecond paragraph.\n\n\n\nThird.\n",
    "headings": "# One\nText\n## Two\n\nSetext\n===\nmore\n\nUnder\n---\n***\n",
    "fences": "Look:\n\n```\n```\n",
    "code then prose": "Look:\n```python\nx = 1\n\ny\n```\nand\n\n",
    "fences of several lengths": "~~~~\n~~~\n~~~~\n\n````md\n```\nin\n```\n````\nend\n\n",
    "unclosed fence": "a\n\n```\nb\n\nc\n",
    "fence in list": "- a\n  ```\n  b\n\n  c\n  ```\n- d\n\nend\n\n",
    "loose list": "- a\n\n- b\n\n  more\n\n    deep\n\n- c\n\nafter\n\n",
    "nested list": "1. a\n   - b\n     - c\n2. d\n* other\n* list\n\n\npara\n\n",
    "lists in a row": "- a\n- b\n* c\n+ d\n1. e\n1) f\n- - -\nx\n\n",
    "table": "intro\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nafter\na | b\n- | -\n5 | 6\n\n",
    "table after prose": "para\na | b\n---|---\n1 | 2\n# h\n",
    "quotes": "> a\nlazy\n> - b\n\n> c\n> ```\n> d\n\ne\n\n",
    "indented code": "    a\n\n\n    b\n\nc\n    not code\n\n",
    "html": "<div>\n\n*a*\n\n</div>\n<!-- b\n\nc -->\n\n",
    "tasks": "- [ ] a\n- [x] b\n\ndone\n\n",
    "windows line ends": "a\r\n\r\n- b\r\n- c\r\n\r\nd\r\n\r\n```\r\ne\r\n```\r\n",
    "blank start": "\n\n  \n# a\n\n\t\n    code\n\nb\n\n",
    "letters after a list": "- a\n- b\n\ntext\n\n",
    "empty items": "-\n\n  a\n\n1.\n- \n\nb\n\n",
}
PIECES = [
    "a", "text\n", "more text\n", "\n", "\n\n", " ", "    ", "\t", "- ", "* ", "+ ", "1. ", "2) ", "10. ",
    "# h\n", "---\n", "===\n",
    "***\n", "- - -\n", "> ", ">", "```\n", "```py\n", "~~~\n", "````\n", "| a | b |\n", "|-|-|\n", "-|-\n",
    "|", "a|b\n", "\\", "<div>\n",
    "*x*", "`y`", "  - n\n", "   indented\n", "-\n", "é\n", "[ ] t\n", "0\n",
]  # fmt: skip
DEFINITIONS = [
    "[r]: http://e.example\n",
    "[r]:\n",
    "http://e.example\n",
    "'title\n",
    "more'\n",
    "[r]",
    "\r\n",
    "\r",
    "[r]: x 'y'\n",
]


def stream(text: str, cuts: list[int]) -> tuple[list[markdown.Block], int]:
    splitter = BlockSplitter()
    blocks = []
    for end in [*sorted(cuts), len(text)]:
        blocks += splitter.feed(text[:end])
    return blocks, splitter.start


def assert_whole(text: str) -> list[markdown.Block]:
    """Streamed by any cut: the same blocks, in order, that with the open rest give the whole text and its HTML."""
    blocks, start = stream(text, [])
    letter_by_letter, _ = stream(text, list(range(len(text))))
    assert letter_by_letter == blocks
    ends = [0, *(block.end for block in blocks)]
    assert all(a < b for a, b in pairwise(ends))
    assert start == ends[-1]
    for block_start in ends:
        assert finished_blocks(text, block_start) == [b for b in blocks if b.end > block_start]
    return blocks


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_blocks_of_a_stream_add_up_to_the_whole(text: str) -> None:
    blocks = assert_whole(text)
    rest = text[blocks[-1].end :] if blocks else text
    assert "".join(block.html for block in blocks) + render(rest) == render(text)


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.data())
@hypothesis_settings(max_examples=300)
def test_any_text_cut_anywhere_gives_the_same_blocks(text: str, data: st.DataObject) -> None:
    blocks = assert_whole(text)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    assert stream(text, cuts)[0] == blocks
    rest = text[blocks[-1].end :] if blocks else text
    assert "".join(block.html for block in blocks) + render(rest) == render(text)


@given(st.lists(st.sampled_from(PIECES + DEFINITIONS * 3), max_size=20).map("".join))
@hypothesis_settings(max_examples=200)
@example("- a\n\n[r]:\nhttp://e.example\n\nb\n\n")
@example("a\n\n[r]: http://e.example\n'title\nmore'\n\nb\n\n")
def test_definitions_and_odd_line_ends_do_not_move_a_block(text: str) -> None:
    assert_whole(text)


@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
)
def test_a_finished_block_is_never_changed_by_what_follows(text: str, later: str) -> None:
    before = finished_blocks(text, 0)
    assert finished_blocks(text + later, 0)[: len(before)] == before


@pytest.mark.parametrize(
    "text",
    [
        "just text\n", "a\nb\n", "- a\n\n", "1. a\n\n\n", "```\na\n\n", "````\n```\n", "~~~\n```\n",
        "    a\n\n", "> a\n", "a | b\n-|-\n",
        "# head", "***", "\n\n", "",
    ],
)  # fmt: skip
def test_an_open_block_is_not_given_out(text: str) -> None:
    assert finished_blocks(text, 0) == []


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("a\n\n", [2]),
        ("# a\n", [4]),
        ("---\n", [4]),
        ("```\na\n```\n", [10]),
        ("> a\n\n", [4]),
        ("- a\n\nb\n", [5]),
        ("a\n# b\nc\n", [2, 6]),
        ("é\n\n", [2]),
    ],
)
def test_a_block_is_given_out_as_soon_as_it_is_closed(text: str, ends: list[int]) -> None:
    assert [block.end for block in finished_blocks(text, 0)] == ends


def test_a_long_open_block_is_found_when_it_ends() -> None:
    text = "".join(f"- item {n}\n  with a second line\n" for n in range(400)) + "\n"
    splitter = BlockSplitter()
    for end in range(0, len(text), 50):
        assert splitter.feed(text[:end]) == []
    after = text + "The end.\n\n" * 400
    found = []
    for end in range(len(text), len(after) + 1, 10):
        found += splitter.feed(after[:end])
    assert found[0].end == len(text)
    assert found[-1].end >= len(after) - 2


def test_nothing_is_parsed_while_no_line_can_end_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "_finished_ends", lambda *args: pytest.fail("parsed"))
    for text in ("```\n# x\n\n---\ny\n", "one\ntwo\nthree", "- a\n\n- b\n- c\n", "a | b\n"):
        stream(text, list(range(len(text))))


# --- The style sheet --------------------------------------------------------------------------------------------------
def test_the_style_sheet_is_what_pygments_styles_say() -> None:
    stored = Path(settings.BASE_DIR, "static/css/highlight.css").read_text(encoding="utf-8")
    assert stored == highlight.stylesheet(), "run: python -m chatbot_project.lib.highlight > static/css/highlight.css"


def test_code_can_be_read_in_light_and_in_dark() -> None:
    pairs = re.findall(r"light-dark\((\S+), (\S+)\)", highlight.stylesheet())
    assert len(pairs) > 40
    for light, dark in pairs:
        assert light == "currentcolor" or highlight.contrast(light[1:], highlight.LIGHT_BACKGROUND) >= 4.5
        assert dark == "currentcolor" or highlight.contrast(dark[1:], highlight.DARK_BACKGROUND) >= 4.5
