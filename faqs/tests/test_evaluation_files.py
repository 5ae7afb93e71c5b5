"""Reading labelled questions: what is taken, what is drawn, and the line that is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faqs.evaluation_files import BadEvaluationFile, Row, read_rows, read_sample


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def _write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


@pytest.mark.parametrize(
    "content",
    ["text,label\nLost card?,lost_card\n", "text,category\r\nLost card?,lost_card\r\n",
     "\ufefftext,label\nLost card?,lost_card\n", 'label,text,more\nlost_card,"Lost\n card?",x\n\n',
     " Text , LABEL \n  Lost   card?  ,lost_card\n"],
)  # fmt: skip
def test_rows_are_read_whatever_the_order_of_their_columns(write: Any, content: str) -> None:
    assert read_rows(write(content)) == [Row(2, "Lost card?", "lost_card")]


def test_a_row_knows_the_line_it_begins_on(write: Any) -> None:
    rows = read_rows(write('text,label\n"a\nb",x\n\nc,y\n'))
    assert [(row.line, row.text) for row in rows] == [(2, "a b"), (5, "c")]


def test_questions_without_an_answer_need_no_label(write: Any) -> None:
    assert read_rows(write("text\nHow are you?\n"), labelled=False) == [Row(2, "How are you?", "")]
    assert read_rows(write("text,label\nHow are you?,x\n"), labelled=False) == [Row(2, "How are you?", "")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"text,label\n", "no rows"),
        (b"text,name\na,b\n", ":1: the header has no column label or category"),
        (b"question,label\na,b\n", ":1: the header has no column text"),
        (b"text,label\na,b\nc\n", ":3: 1 values under 2 columns"),
        (b"text,label\na,b\nc,d,e\n", ":3: 3 values under 2 columns"),
        (b"text,label\na,b\n ?!,x\n", ":3: the text is empty"),
        (b"text,label\na,b\nc, \n", ":3: the label is empty"),
        (b"text,label\na,b\nc," + b"d" * 501, ":3: the label is too long"),
        (b"text,label\na,b\n" + b"c" * 501 + b",d\n", ":3: the text is longer than 500"),
        (b"text,label\na,b\nc\xff,d\n", ":3: not UTF-8"),
        ("text,label\na,b\n".encode("utf-16"), "not UTF-8|NUL"),
        (b"text,label\na,b\nc\0,d\n", ":3: a NUL character"),
        (b'text,label\na,b\n"c"x,d\n', ":3: not CSV"),
        (b'text,label\na,b\n"c,d\n', ":3: not CSV"),
        (b"text,label\na," + b"b" * 200_000, ":2: the label is too long"),
    ],
)
def test_a_bad_file_is_named_with_its_line(write: Any, content: bytes, said: str) -> None:
    path = write(content)
    with pytest.raises(BadEvaluationFile, match=said) as raised:
        read_rows(path)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadEvaluationFile, match=str(tmp_path)):
        read_rows(tmp_path / name)


@given(st.binary(max_size=200).map(lambda tail: b"text,label\n" + tail))
def test_any_bytes_are_rows_or_a_named_mistake(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_bytes(content)
    try:
        rows = read_rows(path)
    except BadEvaluationFile:
        return
    assert rows
    assert all(row.text and row.label for row in rows)


# --- What is loaded and asked
LABELS = [f"l{number}" for number in range(10)]


@pytest.fixture
def files(write: Any) -> dict[str, Path]:
    faqs = "".join(f"phrasing {number} of {label},{label}\n" for label in LABELS for number in range(6))
    questions = "".join(f"question {number} about {label},{label}\n" for label in LABELS for number in range(4))
    return {
        "faqs": write("text,label\n" + faqs, "faqs.csv"),
        "questions": write("text,label\n" + questions, "questions.csv"),
    }


def test_everything_is_loaded_and_asked(files: Any) -> None:
    sample = read_sample(**files)
    assert list(sample.faqs) == LABELS
    assert {len(texts) for texts in sample.faqs.values()} == {6}
    assert [row.label for row in sample.questions] == [label for label in LABELS for _ in range(4)]


def test_a_label_that_no_faq_has_is_named_with_its_line(files: Any, write: Any) -> None:
    files["questions"] = write("text,label\na,l1\nb,l99\n", "q.csv")
    with pytest.raises(BadEvaluationFile, match=r"q\.csv:3: no FAQ has the label 'l99'"):
        read_sample(**files)


def test_phrasings_are_drawn_by_the_seed_alone(files: Any) -> None:
    first = read_sample(**files, per_faq=2, seed=1)
    assert {len(texts) for texts in first.faqs.values()} == {2}
    assert first == read_sample(**files, per_faq=2, seed=1)
    assert first != read_sample(**files, per_faq=2, seed=2)
    assert read_sample(**files, per_faq=99) == read_sample(**files)
    # Another FAQ less changes nothing about the rest.
    fewer = read_sample(**files, per_faq=2, seed=1, hide_labels=0.2)
    assert all(fewer.faqs[label] == first.faqs[label] for label in fewer.faqs)


def test_hidden_labels_are_asked_without_an_answer(files: Any) -> None:
    sample = read_sample(**files, hide_labels=0.2, seed=3)
    assert len(sample.faqs) == 8
    assert {row.label for row in sample.questions} == {*sample.faqs, ""}
    assert sum(not row.label for row in sample.questions) == 8
    assert sample.faqs.keys() != read_sample(**files, hide_labels=0.2, seed=4).faqs.keys()


def test_one_label_at_least_stays(files: Any) -> None:
    with pytest.raises(BadEvaluationFile, match="none would be left"):
        read_sample(**files, hide_labels=0.99)


def test_out_of_scope_questions_are_added_and_the_limit_draws_from_all(files: Any, write: Any) -> None:
    files["out_of_scope"] = write("text\n" + "".join(f"other {n}\n" for n in range(40)), "oos.csv")
    assert sum(not row.label for row in read_sample(**files).questions) == 40
    drawn = read_sample(**files, limit=20, seed=5).questions
    assert len(drawn) == 20
    assert 0 < sum(not row.label for row in drawn) < 20
    assert drawn == read_sample(**files, limit=20, seed=5).questions
