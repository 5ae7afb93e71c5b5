"""Once a reply is gone, however it goes, its verdict is left alone: no text, nobody; figures stay as they were."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.access_log import looks_at
from accounts.models import LegalHold, User
from accounts.privacy import registry
from accounts.privacy.erasing import erase_everywhere, erase_row, plan
from accounts.retention import policies
from accounts.tests.factories import make_admin, make_moderator
from analytics.period import Period
from analytics.quality import handing
from analytics.quality.figures import read_quality
from analytics.quality.models import QualityComment, QualityItem, QualityReview
from analytics.quality.reading import read
from analytics.tests.replies import judged, make_item, make_reply
from conversations.models import Citation, Conversation, Message
from conversations.purging import purge, purge_people
from conversations.safety.models import ModerationItem
from faqs.tests.factories import make_faq
from personas.models import Persona
from personas.tests.factories import make_persona

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MARCH = Period(date(2026, 3, 1), date(2026, 3, 31), ZoneInfo("UTC"))


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture
def item(owner: User, persona: Persona) -> QualityItem:
    """Judged by two, with a comment."""
    item = make_item(make_reply(owner, persona, NOON))
    judged(make_moderator(), comment="The secret word is wrong.")
    judged(make_moderator())
    item.refresh_from_db()
    return item


def erased(owner: User, item: QualityItem) -> None:
    list(erase_everywhere(owner))
    erase_row(owner)


def purged(owner: User, item: QualityItem) -> None:
    purge(list(Conversation.objects.filter(owner=owner).values_list("pk", flat=True)))


def left(owner: User, item: QualityItem) -> None:
    purge_people([owner.pk])


@pytest.mark.parametrize("goes", [erased, purged, left], ids=lambda goes: goes.__name__)
def test_the_verdict_is_left_alone(goes: Callable[..., None], item: QualityItem, owner: User, persona: Persona) -> None:
    open_one = make_item(make_reply(owner, persona, NOON))
    other_reply = make_item(make_reply(make_moderator(), persona, NOON))
    before = read_quality(MARCH)
    goes(owner, item)
    found = QualityItem.objects.get(pk=item.pk)
    assert (found.message_id, found.verdict, found.state) == (None, "yes", "settled")
    assert not QualityComment.objects.exists()
    assert found.reviews.count() == 2
    after = read_quality(MARCH)
    assert (after.accuracy.share, after.accuracy.judged, after.criteria) == (
        before.accuracy.share, before.accuracy.judged, before.criteria,
    )  # fmt: skip
    assert handing.waiting_for(make_moderator()).get() == other_reply
    assert not Message.objects.filter(quality_item=open_one.pk).exists()


def test_a_reviewer_who_is_erased_is_in_no_review(
    item: QualityItem, moderator: User, owner: User, persona: Persona
) -> None:
    make_item(make_reply(owner, persona, NOON))
    turn = handing.take_next(reviewer=moderator)
    assert turn is not None
    reviewer = item.reviews.order_by("slot").first().reviewer
    for person in (moderator, reviewer):
        erased(person, item)
    assert not QualityReview.objects.filter(pk=turn.pk).exists()
    assert item.reviews.filter(reviewer=None).count() == item.reviews.exclude(reviewer=None).count() == 1
    assert QualityComment.objects.exists()  # it is about the owner's reply, which is there still


def test_a_copy_of_ones_data_holds_the_verdict_and_comments_but_no_reviewer(item: QualityItem, owner: User) -> None:
    entries = {entry.section: entry for entry in registry.personal_data() if entry.section}
    (mine,) = entries["reviewed_replies"].rows_of(owner)
    assert mine == item
    (comment,) = entries["review_comments"].rows_of(owner)
    assert comment.text == "The secret word is wrong."
    assert "reviewer" not in {*entries["reviewed_replies"].exported, *entries["review_comments"].exported}
    planned = {each.label: each.rows for each in plan(owner)}
    assert planned["analytics.QualityItem"] == planned["analytics.QualityComment"] == 1


def test_whoever_wrote_it_sees_that_it_was_judged(owner: User, persona: Persona, moderator: User) -> None:
    make_item(make_reply(owner, persona, timezone.now()))
    turn = handing.take_next(reviewer=moderator)
    assert turn is not None
    handing.open_item(reviewer=moderator, review_id=turn.pk)
    (look,) = looks_at(owner)
    assert "drawn for review" in look.what
    assert look.who == moderator.username


def test_what_is_read_names_nobody_and_nothing_of_theirs(owner: User, persona: Persona) -> None:
    reply = make_reply(
        owner, persona, NOON, "I am bob@example.org", text="Hello bob@example.org, call +49 171 1234567."
    )
    faq = make_faq("How to call?", "By telephone.")
    Citation.objects.create(message=reply, number=1, faq=faq, question="How to call?", score=0.6)
    Citation.objects.create(message=reply, number=2, faq=None, question="Gone?", score=0.6)
    found = read(reply)
    assert found.question == "I am [E-MAIL 1]"
    assert found.reply == "Hello [E-MAIL 1], call [PHONE 1]."
    assert [(each.number, each.answer) for each in found.sources] == [(1, "By telephone."), (2, "")]
    assert found.earlier == []


def test_a_little_of_what_was_said_before_is_read_but_nothing_held_back(owner: User, persona: Persona) -> None:
    reply = make_reply(owner, persona, NOON, "First")
    said: list[Any] = [reply]
    for number in range(4):
        role, status = ("user", "sent") if number % 2 == 0 else ("assistant", "completed")
        said.append(
            Message.objects.create(
                conversation=reply.conversation, owner=owner, parent=said[-1], role=role, status=status,
                text=f"Turn {number}", created_at=NOON + timedelta(minutes=number),
            )
        )  # fmt: skip
    last = said[-1]
    assert [turn.text for turn in read(last).earlier] == ["First", "Because.", "Turn 0", "Turn 1"]
    ModerationItem.objects.create(message=said[1], owner=owner, action="flag", category="other")
    assert [turn.text for turn in read(last).earlier] == ["Turn 1"]


def test_verdicts_are_kept_for_the_days_that_are_set(item: QualityItem, owner: User, persona: Persona) -> None:
    waiting = make_item(make_reply(owner, persona, NOON))
    call_command("apply_retention")
    assert QualityItem.objects.count() == 2, "they are kept for good until somebody says otherwise"
    policies.set_policy(actor=make_admin(), data_class="verdict", days=30, reason="as agreed")
    assert read_quality(MARCH).accuracy.judged == 0, "what is over is told no more in the same moment"

    hold = LegalHold.objects.create(person=owner)
    call_command("apply_retention")
    assert QualityItem.objects.filter(pk=item.pk).exists()
    hold.delete()
    call_command("apply_retention")
    assert list(QualityItem.objects.all()) == [waiting], "what has no verdict leaves the queue by its own rule"
    assert not QualityReview.objects.exists()
    assert Message.objects.filter(owner=owner).count() == 4, "the replies themselves stay"
