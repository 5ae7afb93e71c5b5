"""Markdown rendering: what comes out is right, inert, bounded, and the same however a stream was cut."""

import re
from importlib import import_module
from math import isqrt
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from chatbot_project.lib import highlight, markdown
from chatbot_project.lib.markdown import BlockSplitter, finished_blocks, render
from chatbot_project.lib.tests.outline import ALLOWED, Outline, assert_inert
from chatbot_project.lib.tests.steps import steps_of


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
RENDER_STEPS = 600  # Lines of Python per character; the costliest text takes about 280
STREAM_STEPS = 3000  # For all pieces of 64 characters together; the costliest takes about 1600


def hostile(size: int) -> dict[str, str]:
    """Texts of about ``size`` characters, each made to be as costly as a text can be."""
    return {
        "quote markers": ">" * size,
        "spaced quote markers": "> " * (size // 2),
        "quotes": ">a\n" * (size // 3),
        "stars": "a " + "*" * size,
        "open emphasis": "*a " * (size // 3),
        "mixed emphasis": "**a*b" * (size // 5),
        "strikethrough": "~~a" * (size // 3),
        "open brackets": "[" * size,
        "open images": "![" * (size // 2),
        "open links": "[a](" * (size // 4),
        "bracket pairs": "[" * (size // 2) + "]" * (size // 2),
        "images": "![a](http://b)" * (size // 14),
        "backticks": "".join("`" * n + " " for n in range(1, isqrt(2 * size))),
        "entities": "&" * size,
        "less than": "<" * size,
        "nested lists": "".join("  " * n + "- a\n" for n in range(isqrt(size))),
        "list": "- a\n" * (size // 4),
        "loose list": "- a\n\n b\n" * (size // 8),
        "wide table": "|a" * (size // 64) + "\n" + "|-" * (size // 64) + "\n" + "|\n" * (size // 2),
        "long table": "a|b\n-|-\n" + "a|b\n" * (size // 4),
        "definitions": "[a]: /b\n" * (size // 8),
        "setext": "a\n=\n" * (size // 4),
        "lines": "\n" * size,
        "code as C#": "```csharp\n" + "a\n" * (size // 8) + "```\n",
        "code as make": "```make\n" + "_" * (size // 4) + "\n```\n",
        "many code blocks": ("```make\n" + "_" * (size // 32) + "\n```\n") * 32,
        "many languages": "".join(f"```{name}\n" + "\n\n " * 100 + "\n```\n" for name in sorted(highlight.LANGUAGES))[
            :size
        ],
    }


HOSTILE = hostile(65_536)
COUNTED = hostile(16_384)


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_bounded_space(source: str) -> None:
    html = markdown._render(source)
    assert len(html) < 32 * len(source)
    assert_inert(html)


@pytest.fixture
def fewer_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are filled up to a quarter as many cells, as the counted texts are a quarter as long."""
    table = import_module("markdown_it.rules_block.table")
    monkeypatch.setattr(table, "MAX_AUTOCOMPLETED_CELLS", table.MAX_AUTOCOMPLETED_CELLS // 4)


@pytest.mark.usefixtures("fewer_cells")
@pytest.mark.parametrize("source", COUNTED.values(), ids=COUNTED)
def test_hostile_text_takes_bounded_work(source: str) -> None:
    assert steps_of(lambda: markdown._render(source)) < RENDER_STEPS * len(source)


@pytest.mark.usefixtures("fewer_cells")
@pytest.mark.parametrize("source", COUNTED.values(), ids=COUNTED)
def test_hostile_text_streams_with_bounded_work(source: str) -> None:
    splitter = BlockSplitter()

    def stream() -> None:
        for end in range(0, len(source) + 64, 64):
            splitter.feed(source[:end])

    assert steps_of(stream) < STREAM_STEPS * len(source)


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
