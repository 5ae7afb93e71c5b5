"""What counts as small talk: whole messages only, in two languages."""

import pytest

from personas.small_talk import is_small_talk


@pytest.mark.parametrize(
    "text",
    [
        "Hi", "hello!", "Hey there 👋", "Good morning", "Hi, how are you?", "Thanks!", "thank you so much!",
        "That helped, thanks a lot", "That's great!", "Bye", "What can you do?", "Are you a bot?", "👍", "…", "OK.",
        "ok thanks",
        "Hallo", "Guten Tag!", "Vielen Dank!", "danke schön", "Das hat mir sehr geholfen, danke dir", "Tschüss",
        "Wie geht es Ihnen?", "Alles klar, danke", "Wer bist du?", "Schönen Abend noch!",
    ],
)  # fmt: skip
def test_greetings_and_thanks_are_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        "Hi, how do I reset my PIN?", "thanks, and what does it cost?", "PIN", "card", "1234", "Where are you?",
        "Hello I lost my card", "Is it good to pay by card?", "Danke, und wie lange dauert das?", "Karte verloren",
        "Hallo, ich brauche eine Rechnung", "help me with my card", "привет, где карта", "hi " * 9,
    ],
)  # fmt: skip
def test_what_asks_for_something_is_none(text: str) -> None:
    assert not is_small_talk(text)
