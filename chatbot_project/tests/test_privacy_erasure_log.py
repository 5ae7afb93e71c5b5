"""The log of erasures, which names nobody, and the receipts."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import DataRequest
from accounts.privacy import erasure_log
from accounts.tests.factories import make_user
from chatbot_project.tests.erased import erased, places
from conversations.tests.factories import make_conversation, make_persona

__all__ = ["places"]  # a fixture
pytestmark = pytest.mark.django_db
State = DataRequest.State


def test_the_log_names_nobody_and_a_line_that_was_cut_off_says_nothing(places: Path) -> None:
    user = make_user("ada@example.org")
    entry = erased(user)
    text = (places / "erasures.jsonl").read_text()
    assert "ada@" not in text  # a hash may hold the name by chance
    assert str(user.pk) not in text
    (line,) = erasure_log.lines()
    assert (line.id, line.person) == (entry.pk, erasure_log.hashes_of(str(user.pk))[0])
    with (places / "erasures.jsonl").open("a") as file:
        file.write('{"id": "cut')
    assert len(erasure_log.lines()) == 1


@pytest.mark.parametrize("cut", [b'{"id": "cut', b'{"person": "\xc3'], ids=["a line", "a character"])
def test_what_is_noted_after_a_line_that_was_cut_off_is_read_with_all_before_it(cut: bytes, places: Path) -> None:
    first = erased(make_user())
    log = places / "erasures.jsonl"
    with log.open("ab") as file:
        file.write(cut)
    assert [line.id for line in erasure_log.lines()] == [first.pk]
    second = erased(make_user())
    assert [line.id for line in erasure_log.lines()] == [first.pk, second.pk]
    assert log.read_bytes().count(b"\n") == 2


def test_a_log_that_was_cut_off_in_its_first_line_is_begun_anew(places: Path) -> None:
    (places / "erasures.jsonl").write_bytes(b'{"id"')
    assert erasure_log.lines() == []
    entry = erased(make_user())
    assert [line.id for line in erasure_log.lines()] == [entry.pk]


@pytest.mark.parametrize("wrong", [b"no line\n", b"\xc3\n", b'{"id": "cut\n'])
def test_a_log_that_was_tampered_with_is_not_read_over(wrong: bytes, places: Path) -> None:
    erased(make_user())
    (places / "erasures.jsonl").write_bytes(wrong)
    with pytest.raises(erasure_log.LogUnreadable):
        erasure_log.lines()
    with pytest.raises(CommandError, match="holds a line that is none"):
        call_command("replay_erasures", check=True)


def test_a_receipt_shows_whose_it_is_to_who_knows_the_address_and_no_change_goes_unseen(settings: Any) -> None:
    user = make_user("ada@example.org")
    make_conversation(user, persona=make_persona())
    receipt = erased(user).receipt
    assert receipt["erased"]["conversations.Conversation"] == 1
    assert erasure_log.is_receipt_of(receipt, "ada@example.org")
    assert not erasure_log.is_receipt_of(receipt, "bob@example.org")
    for change in ({"done_at": "2020-01-01"}, {"signature": "00"}, {"key": "zz"}, {"extra": 1}):
        assert not erasure_log.is_genuine({**receipt, **change})
    assert not erasure_log.is_genuine({})
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert receipt["address"] in erasure_log.hashes_of("ada@example.org")
