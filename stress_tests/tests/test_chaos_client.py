"""People of the chaos and soak tests: what they ask."""

from pathlib import Path

from stress_tests.chaos.client import Client, Habits, Witness
from stress_tests.chaos.history import History


def test_each_question_is_unlike_any_other_and_as_long(tmp_path: Path) -> None:
    history = History(tmp_path / "c.jsonl")
    client = Client("c7", "key", [1], history, Witness(), Habits(words=12), seed=1)
    asked = [client._question(number) for number in (1, 9, 10, 99, 100, 12_345)]
    history.close()
    assert len({len(question.encode()) for question in asked}) == 1
    words = [word for question in asked for word in question.split()]
    assert len(set(words)) == len(words)
