"""Texts within a Markdown document: they stay in their quote, and nothing in them does anything."""

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from chatbot_project.lib.quoting import escaped, quoted

# Viewers that trust a document: HTML goes through, and any link.
VIEWERS = [
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]),
    MarkdownIt("js-default", {"html": True, "linkify": False}),
]
for viewer in VIEWERS:
    viewer.validateLink = lambda url: True  # type: ignore[method-assign]

PIECES = [
    *("<", ">", "!", "[", "]", "(", ")", "`", "``", "```", "~~~", "\\", "|", "|-|", ":-", "-", "=", "===", "#", "&"),
    *("\n", "\n\n", "\t", "    ", " ", "> ", "- ", "2. ", "1) ", "a", "x:", ":", "\u2028", "\r", "\x0b", "\x85"),
    *("<script>", "</blockquote>", "<h2>You</h2>", "<!--", "-->", "<a href='`'>", "<img src=x onerror=alert(1)>"),
    *(
        "![i](http://t/x.png)",
        "[l](javascript:alert(1))",
        "[l](&#106;avascript:x)",
        "[l]: http://evil",
        "[1]",
        "[^1]: ",
    ),
    *("<http://ok>", "<javascript:x>", "## You", "---", "<![CDATA[", "<?", "</pre>", "[a]:\n  /b\n  '", "`'"),
]
markdown = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text(max_size=80)


def all_tokens(tokens: list[Token]) -> list[Token]:
    return [each for token in tokens for each in (token, *all_tokens(token.children or []))]


def outline(tokens: list[Token]) -> list[str]:
    """The blocks at the top."""
    return [token.type for token in tokens if token.level == 0 and token.nesting >= 0]


def assert_inert(document: str) -> None:
    for viewer in VIEWERS:
        env: dict[str, object] = {}
        for token in all_tokens(viewer.parse(document, env)):
            assert token.type not in ("html_block", "html_inline", "image"), document
            if token.type == "link_open":
                assert str(token.attrs["href"]).lower().startswith(("http://", "https://", "mailto:")), document
        assert not env.get("references"), document


@given(markdown)
@hypothesis_settings(max_examples=600, deadline=None)
@example("a ` b\n` `<b>`")
@example("| ` | x `<script>` ` |\n|-|-|")
@example("| ` ` `<b>` |\n|---|")
@example("[a]: b '`'\nx\n` y\n `<b>`")
@example("\t<script>")
@example("- ```\n  <b>\n  ```\n  <script>")
@example("\\![i](http://t)")
@example("| a ` |\n|-|\n2. x ` y\n`<b>`")
@example("| a |\n| - |\n2. ```\n   <script>")
@example("[a]: b\n2. ```\n<script>")
@example("> " * 30 + "`<b>`")
def test_a_text_stays_in_its_quote_and_does_nothing(text: str) -> None:
    document = f"before\n\n{quoted(text)}\n\nafter [l] [1] [^1] [a]"
    for viewer in VIEWERS:
        assert outline(viewer.parse(document)) == ["paragraph_open", "blockquote_open", "paragraph_open"], document
    assert_inert(document)
    assert all(line.startswith(">") for line in quoted(text).splitlines())


@given(st.text(max_size=60) | markdown)
@hypothesis_settings(max_examples=300, deadline=None)
def test_an_escaped_line_is_a_line_of_text(line: str) -> None:
    document = f"# {escaped(line)}\n\n- 1 {escaped(line)}\n"
    assert_inert(document)
    for viewer in VIEWERS:
        tokens = viewer.parse(document)
        assert outline(tokens) == ["heading_open", "bullet_list_open"]
        kinds = {token.type for token in all_tokens(tokens) if token.level >= 0 and token.type != "inline"}
        assert kinds <= {
            *("heading_open", "heading_close", "bullet_list_open", "bullet_list_close", "list_item_open"),
            *("list_item_close", "paragraph_open", "paragraph_close", "text", "text_special"),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("Hello\n\n**you**", "> Hello\n>\n> **you**"),
        ("```\nif a < b and ![x]:\n```", "> ```\n> if a < b and ![x]:\n> ```"),
        ("A `List<int>` is < this", "> A `List<int>` is &lt; this"),
        ("[here](https://example.org) [no](file:///x)", "> [here](https://example.org) [no]\\(file:///x)"),
        ("![chart](https://example.org/x.png)", "> &#33;[chart](https://example.org/x.png)"),
        ("[1]: https://example.org", "> \\[1]: https://example.org"),
        ("[1] says so", "> [1] says so"),
        ("one\u2028two\rthree", "> one\n> two\n> three"),
        ("", ">"),
    ],
)
def test_what_does_no_harm_stays_as_it_was_written(text: str, quote: str) -> None:
    assert quoted(text) == quote


def test_a_text_too_long_to_be_looked_at_closely_is_inert_as_well() -> None:
    text = "`<b>` ![i](http://t) [a]: b\n" * 2000
    assert_inert(quoted(text))
