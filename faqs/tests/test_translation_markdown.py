"""What is taken out for a translator and what stays, without a translator."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chatbot_project.lib.tests.steps import growth
from faqs.translation_markdown import Damaged, Fragment, fragment, split_markdown

PAGE = """# Your *card*

Open [the **app**](https://example.org/a_(b) "Go") and run `pip  install x` or
write to help@example.org. See [terms] and ![a map](map.png).  
Second line\\
third \\*line\\* for {name} at https://example.org/?a=1&b=*2*.

- one & <two>
  goes on
- [x] 1 < 2

> said
> before

1. First:

   ```py
   print("never `translated`")
   ```

| Name | Value |
|------|:-----:|
| fee | `x` |
| fee | 12.50 |

    indented code

Under
=====

[terms]: https://example.org/terms
"""  # noqa: W291


def shout(markup: str) -> str:
    """A translator that writes in capitals, and knows HTML as the services do."""
    parts = re.split(r'(<span translate="no".*?</span>|<[^>]*>|&\w+;)', markup)
    return "".join(part if part.startswith(("<", "&")) else part.upper() for part in parts)


def translated(text: str, translate: object = shout) -> str:
    return "".join(p if isinstance(p, str) else p.restore(translate(p.html)) for p in split_markdown(text))


def fragments(text: str) -> list[Fragment]:
    return [piece for piece in split_markdown(text) if isinstance(piece, Fragment)]


def test_words_are_translated_and_nothing_else_changes() -> None:
    assert translated(PAGE) == (
        "# YOUR *CARD*\n\n"
        'OPEN [THE **APP**](https://example.org/a_(b) "Go") AND RUN `pip  install x` OR '
        "WRITE TO help@example.org. SEE [TERMS][terms] AND ![A MAP](map.png).  \n"
        "SECOND LINE\\\n"
        "THIRD \\*LINE\\* FOR {name} AT https://example.org/?a=1&b=*2*.\n\n"
        "- ONE & <TWO> GOES ON\n"
        "- [x] 1 < 2\n\n"
        "> SAID BEFORE\n\n"
        '1. FIRST:\n\n   ```py\n   print("never `translated`")\n   ```\n\n'
        "| NAME | VALUE |\n|------|:-----:|\n| FEE | `x` |\n| FEE | 12.50 |\n\n"
        "    indented code\n\n"
        "UNDER\n=====\n\n"
        "[terms]: https://example.org/terms\n"
    )


def test_code_and_addresses_are_marked_as_not_to_be_translated() -> None:
    sent = " ".join(piece.html for piece in fragments(PAGE))
    assert '<span translate="no" id="k2">`pip  install x`</span>' in sent
    assert "https://example.org/a_(b)" not in sent
    assert "never" not in sent
    assert "terms]:" not in sent


@pytest.mark.parametrize("text", ["12.50 €", "`code`", "https://example.org", "", "   ", "---", "```\nonly code\n```"])
def test_what_has_no_words_is_not_sent(text: str) -> None:
    assert split_markdown(text) == [text] or "".join(split_markdown(text)) == text


WITH_LINK = "Press [here](https://example.org) or `F1`"


@pytest.mark.parametrize(
    "damage",
    [
        lambda html: re.sub(r"<[^>]*>", "", html),  # lost
        lambda html: html + html,  # twice
        lambda html: html.replace("</a>", ""),  # never closed
        lambda html: html.replace('id="k0"', 'id="k9"'),  # another's
        lambda html: html.replace('id="k0"', 'id="k1"'),  # mixed up
        lambda html: html + "<script>x</script>",
        lambda html: html + "<!-- x -->",
        lambda html: html + " [evil](https://evil.example)",
        lambda html: html + " &lt;https://evil.example&gt;",
        lambda html: html + " `rm`",
        lambda html: "",
    ],
)
def test_a_damaged_translation_is_refused(damage: object) -> None:
    piece = fragment(WITH_LINK)
    assert piece is not None
    assert piece.restore(piece.html) == WITH_LINK
    with pytest.raises(Damaged):
        piece.restore(damage(piece.html))


def test_marks_may_change_their_order_as_languages_do() -> None:
    piece = fragment(WITH_LINK)
    assert piece is not None
    swapped = '<span translate="no" id="k1">whatever</span> oder <a id="k0">hier</a> drücken'
    assert piece.restore(swapped) == "`F1` oder [hier](https://example.org) drücken"


@pytest.mark.parametrize(
    ("said", "written"),
    [("1. Januar", "1\\. Januar"), ("# eins", "\\# eins"), ("- eins", "\\- eins"), ("> eins", "\\> eins"),
     ("**", "\\**"), ("2024 war es", "2024 war es"), ("-eins", "-eins")],
)  # fmt: skip
def test_a_translation_does_not_become_another_block(said: str, written: str) -> None:
    (piece,) = fragments("On the first")
    assert piece.restore(said.replace(">", "&gt;")) == written


def test_a_translation_stays_in_its_cell() -> None:
    first, *_rest = fragments("| a |\n|---|\n| b |\n")
    assert first.restore("a | b") == "a \\| b"


def test_runs_leave_out_marks_and_make_the_fragment_again() -> None:
    piece = fragment("Use **all of** `it`, now")
    assert piece is not None
    assert [text for text, is_text in piece.runs() if is_text] == ["Use", "all of", ", now"]
    assert "".join(text for text, _is_text in piece.runs()) == piece.html


def words_of(text: str) -> list[object]:
    """The parsed text, without the difference between a line's end and a space."""
    tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)
    return [
        (t.type, t.tag, t.info, t.attrs, t.content if t.type != "inline" else "",
         [(c.type, c.attrs, " ".join(c.content.split()) if c.type == "text" else c.content)
          for c in _joined(t.children or [])])
        for t in tokens
    ]  # fmt: skip


def _joined(children: list) -> list:
    joined: list = []
    for child in children:
        if child.type == "softbreak":
            child.type, child.content = "text", " "
        if child.type == "text" and joined and joined[-1].type == "text":
            joined[-1].content += child.content
        else:
            joined.append(child)
    return joined


LINES = st.sampled_from(
    ["A word", "**bold** and *more*", "`code` here", "[x](https://e.org)", "- item", "  under it", "1. one", "> said",
     "```", "~~~py", "    four", "", "", "| a | b |", "|---|---|", "# Head", "===", "***", "tail  ", "back\\", "a_b_c",
     "[r]", "[r]: https://e.org/r", "\\* no", "<https://e.org>", "&amp; <b>", "![i](j.png)", "* * a", "\tTab", "ü ß 😀"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=14).map("\n".join))
def test_a_translator_that_changes_nothing_changes_nothing(text: str) -> None:
    def same(markup: str) -> str:
        return markup

    assert words_of(translated(text, same)) == words_of(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab [](){}`*_<>!\\|#-+=&;\n\t.:/@", max_size=120))
def test_a_fragment_of_any_text_that_comes_back_as_it_went_is_accepted(text: str) -> None:
    for piece in split_markdown(text):
        if isinstance(piece, Fragment):
            piece.restore(piece.html)


@pytest.mark.parametrize("piece", HOSTILE := ["[a", "**a ", "`a", "a@a.", "[](", "<http://"])
def test_openings_that_nothing_closes_take_linear_work(piece: str) -> None:
    assert growth(split_markdown, piece, 4000) < 2.5
