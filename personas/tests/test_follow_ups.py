"""Which questions are looked up together with the one before."""

import pytest

from personas.follow_ups import refers_back


@pytest.mark.parametrize(
    "question",
    [
        "And how long?", "what about deleting it?", "How long does that take?", "Does it also work abroad?",
        "and in german?", "Why?", "How long?", "What if I lost them?", "Is there a fee for this?",
        "But I have no phone",
        "Can I do the same for my partner's account?", "Und was kostet das?", "Wie lange dauert es denn so?",
        "Geht das auch im Ausland?", "Was brauche ich dafür?", "Kostet mich das etwas extra?",
        "¿Y cuánto cuesta?", "Is that possible on my phone, or does that take a computer?",
    ],
)  # fmt: skip
def test_what_points_back_or_says_little_may_go_on(question: str) -> None:
    assert refers_back(question)


@pytest.mark.parametrize(
    "question",
    [
        "Which volcano on Iceland erupted last winter?", "Write a python function that reverses a list",
        "How do I reset the PIN of my card?", "What is the capital of France?", "Which volcano erupted?",
        "Welcher Vulkan ist letzten Winter ausgebrochen?", "Wie wird das Wetter morgen?",
        "Gibt es Delfine in der Ostsee?",
        "Können Sie mir sagen, wer Faust schrieb?", "Is that restaurant by the river any good?",
        "Which documents do I have to bring to the appointment, and is there anything that it costs to come?",
    ],
)  # fmt: skip
def test_what_stands_alone_does_not(question: str) -> None:
    assert not refers_back(question)
