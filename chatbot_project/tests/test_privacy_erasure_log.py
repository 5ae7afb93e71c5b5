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


def test_a_log_that_was_tampered_with_is_not_read_over(places: Path) -> None:
    erased(make_user())
    (places / "erasures.jsonl").write_text("no line\n")
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
