"""How somebody feels, told from their words."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from analytics.moods.accuracy import measure, read_labelled
from analytics.moods.sentiment import ACCURACY, LANGUAGES, Sentiment, feeling, sentiment_of

LABELLED = Path(__file__).parent / "moods"
NEGATIVE, NEUTRAL, POSITIVE, UNKNOWN = Sentiment


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_accuracy_that_is_told_is_the_one_that_is_measured(language: str) -> None:
    rows = read_labelled(LABELLED / f"{language}.tsv")
    assert len(rows) >= 40
    seen = measure(rows, language)
    assert round(seen.right / seen.sentences, 2) == ACCURACY[language]
    assert seen.left_alone >= 0.95 * seen.without_feeling
    assert seen.found >= 0.8 * seen.told


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_lists_were_written_from_is_told_right(language: str) -> None:
    seen = measure(read_labelled(LABELLED / f"{language}.tuned.tsv"), language)
    assert seen.right >= 0.95 * seen.sentences


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("That is good.", POSITIVE),
        ("That is not good.", NEGATIVE),
        ("How good is the connection?", NEUTRAL),
        ("Thanks!", POSITIVE),
        ("Please send me the form, thanks!", NEUTRAL),
        ("Where is the form? Thank you.", NEUTRAL),
        ('Translate "I hate you, you are terrible" into French.', NEUTRAL),
        ("```\nraise Terrible('awful, awful')\n```", NEUTRAL),
        ("https://terrible.example/awful", NEUTRAL),
        ("👍", POSITIVE),
        ("It is down 😡", NEGATIVE),
        (":-)", POSITIVE),
        ("I can’t stand this awful page", NEGATIVE),
        ("AWFUL", NEGATIVE),
        ("…", NEUTRAL),
    ],
)
def test_what_is_felt_and_what_is_only_spoken_of(text: str, mood: Sentiment) -> None:
    assert sentiment_of([text], "en") == mood


def test_a_conversation_sounds_like_all_of_it_together() -> None:
    assert sentiment_of(["Where is my card?", "This is useless.", "It is terrible."], "en") == NEGATIVE
    assert sentiment_of(["This is useless.", "Ah, perfect, thank you, great!"], "en") == POSITIVE
    # One long outburst does not outweigh all that follows.
    outburst = "Awful! " * 50
    assert feeling(outburst, "en") < -50
    assert sentiment_of([outburst, "Great, it works now!", "Wonderful, thank you."], "en") == POSITIVE


def test_languages_without_a_list_are_not_told() -> None:
    assert sentiment_of(["C'est terrible, c'est awful."], "fr") == UNKNOWN
    assert sentiment_of(["awful"], "") == UNKNOWN
    assert sentiment_of([], "en") == sentiment_of(["  "], "en") == UNKNOWN
    assert sentiment_of(["Awful."], "en-gb") == NEGATIVE


def test_the_command_tells_how_often_it_is_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "en.tsv"
    path.write_text("neutral\tWhere is it?\nnegative\tThis is awful.\npositive\tIt made my heart sing.\n")
    call_command("measure_moods", str(path))
    assert capsys.readouterr().out == (
        "en.tsv: 2 of 3 right; 1 of 1 without a feeling left alone; 1 of 2 feelings found; "
        "1 of 1 that were told are right\n"
    )
    call_command("measure_moods")
    assert [line[:7] for line in capsys.readouterr().out.splitlines()] == ["de.tsv:", "en.tsv:"]
    path.write_text("awful\n")
    with pytest.raises(CommandError, match="a label, a tab and a sentence"):
        call_command("measure_moods", str(path))
