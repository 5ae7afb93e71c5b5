"""Markdown that streams in: the same blocks however the stream was cut."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chatbot_project.lib import markdown
from chatbot_project.lib.markdown import BlockSplitter, finished_blocks, render

# --- Streaming --------------------------------------------------------------------------------------------------------
DOCUMENTS = {
    "prose": "One line.\nAnother.\n\nSecond paragraph.\n\n\n\nThird.\n",
    "headings": "# One\nText\n## Two\n\nSetext\n===\nmore\n\nUnder\n---\n***\n",
    "fences": "Look:\n\n```\n```\n",
    "code then prose": "Look:\n```python\nx = 1\n\ny\n```\nand\n\n",
    "fences of several lengths": "~~~~\n~~~\n~~~~\n\n````md\n```\nin\n```\n````\nend\n\n",
    "unclosed fence": "a\n\n```\nb\n\nc\n",
    "fence that code does not close": "a\n```\n    ````\n",
    "fence in list": "- a\n  ```\n  b\n\n  c\n  ```\n- d\n\nend\n\n",
    "loose list": "- a\n\n- b\n\n  more\n\n    deep\n\n- c\n\nafter\n\n",
    "nested list": "1. a\n   - b\n     - c\n2. d\n* other\n* list\n\n\npara\n\n",
    "lists in a row": "- a\n- b\n* c\n+ d\n1. e\n1) f\n- - -\nx\n\n",
    "table": "intro\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nafter\na | b\n- | -\n5 | 6\n\n",
    "table that begins as a list": "- -|-\n|-|-|\n- a\n",
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
