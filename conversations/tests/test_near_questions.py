"""Questions in other words: which get the same reply, and above all which never do."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from conversations.replies.cache.measuring import measure
from conversations.replies.cache.near import outline
from conversations.replies.cache.questions import normalised
from conversations.replies.cache.vectors import vector_of
from faqs.evaluation_files import Row


def alike(one: str, other: str, language: str = "en") -> bool:
    return outline(normalised(one), language) == outline(normalised(other), language)


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("How do I reset the PIN?", "how do i reset a pin please", "en"),
        ("Hello, where is my card?", "Where's my card?", "en"),
        ("Why can't I pay?", "Why can I not pay?", "en"),
        ("Wie kann ich meine PIN ändern?", "Hallo, wie ich bitte meine PIN ändern kann", "de"),
        ("Qué es un árbol", "¿Qué es, un árbol?", "es"),
    ],
)
def test_the_same_in_other_words(one: str, other: str, language: str) -> None:
    assert alike(one, other, language)


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("Can I pay 50 euros?", "Can I pay 5 euros?", "en"),
        ("Is it below -5 degrees?", "Is it below 5 degrees?", "en"),
        ("Do I pay 1.5 and 20?", "Do I pay 15 and 2.0?", "en"),
        ("Can I smoke here?", "Can I not smoke here?", "en"),
        ("Is it red and not blue?", "Is it not red and blue?", "en"),
        ("May I enter without a ticket?", "May I enter with a ticket?", "en"),
        ("Is Bob my boss?", "Is Ann my boss?", "en"),
        ("How do I learn C++?", "How do I learn C#?", "en"),
        ("Can I fly from Rome to Oslo?", "Can I fly from Oslo to Rome?", "en"),
        ("Did the dog bite the man?", "Did the man bite the dog?", "en"),
        ("Where is IT?", "Where is it?", "en"),
        ("Is my card not working?", "My card is not working", "en"),
        ("Is a.b c free?", "Is a b.c free?", "en"),
        ("Beißt der Hund den Mann?", "Beißt den Hund der Mann?", "de"),
        ("Darf ich rauchen?", "Darf ich nicht rauchen?", "de"),
        ("Darf ich das Kind mitnehmen?", "Darf ich kein Kind mitnehmen?", "de"),
        ("Est-ce que le train part ?", "Est-ce que un train part ?", "fr"),
    ],
)
def test_another_question(one: str, other: str, language: str) -> None:
    assert not alike(one, other, language)


def test_what_is_only_polite_is_near_nothing() -> None:
    assert outline("hello please", "en") == ""
    assert outline("?", "en") == ""


def test_a_vector_is_what_the_database_reads() -> None:
    vector = vector_of("what is a tree")
    assert vector is not None
    assert (vector[0], vector[-1], vector.count(",")) == ("[", "]", 255)


def test_measured_are_pairs_whose_labels_agree_and_those_that_do_not() -> None:
    rows = [
        Row(1, "How do I reset the PIN?", "pin"),
        Row(2, "how do I reset the pin", "pin"),  # the same once normalised
        Row(3, "How do I reset a PIN?", "pin"),
        Row(4, "How do I reset a PIN, please?", "other"),
        Row(5, "Where is my card?", "card"),
    ]
    (loose,) = measure(rows, "en", [0.5])
    assert (loose.pairs, loose.questions) == (3, 3)
    assert len(loose.wrong) == 2
    pairs, wrong = loose.cosine_alone
    assert pairs >= 3
    assert wrong >= 2
    (nothing,) = measure(rows, "en", [1.5])
    assert (nothing.pairs, nothing.wrong, nothing.cosine_alone) == (0, [], (0, 0))


def test_the_command_prints_a_line_for_each_threshold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "questions.csv"
    file.write_text("text,label\nIs a tree a plant?,a\nIs the tree a plant?,b\n")
    call_command("measure_near_questions", file, least=[0.5], wrong=True)
    told = capsys.readouterr().out
    assert "2 questions, 2 labels" in told
    assert "is a tree a plant | is the tree a plant" in told
    with pytest.raises(CommandError):
        call_command("measure_near_questions", tmp_path / "none.csv")
