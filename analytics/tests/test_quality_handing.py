"""Who judges which reply: two people each, three where they disagree; never the owner, never twice, never too many."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.tests.concurrency import at_a_lock
from accounts.tests.factories import make_moderator, make_user
from analytics.quality import handing, sampling
from analytics.quality.models import QualityComment, QualityItem, QualityReview
from analytics.tests.replies import answers, judged, make_item, make_reply
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations.models import CachedReply, Message
from personas.models import Persona
from personas.tests.factories import make_persona


@pytest.fixture
def persona(db: None) -> Persona:
    return make_persona()


@pytest.fixture
def item(owner: User, persona: Persona) -> QualityItem:
    return make_item(make_reply(owner, persona, timezone.now()))


def take(reviewer: User) -> QualityReview:
    turn = handing.take_next(reviewer=reviewer)
    assert turn is not None
    return turn


@pytest.mark.parametrize("who", ["owner", "other", "guest"])
def test_others_are_refused(who: str, item: QualityItem, request: pytest.FixtureRequest) -> None:
    person = request.getfixturevalue(who)
    for call in (
        lambda: handing.take_next(reviewer=person),
        lambda: handing.open_item(reviewer=person, review_id=item.pk),
        lambda: handing.judge(reviewer=person, review_id=item.pk, answers=answers()),
    ):
        with pytest.raises(ApplicationError) as refused:
            call()
        assert refused.value.code == "forbidden"


def test_two_who_agree_settle_it(item: QualityItem, moderator: User, admin: User) -> None:
    judged(moderator, "partly")
    item.refresh_from_db()
    assert (item.state, item.verdict) == ("open", "")
    judged(admin, "partly")
    item.refresh_from_db()
    assert (item.state, item.verdict) == ("settled", "partly")
    assert handing.take_next(reviewer=make_moderator()) is None


def test_what_two_find_wrong_is_not_given_again(item: QualityItem, moderator: User, admin: User) -> None:
    message = item.message
    assert message is not None
    Message.objects.filter(pk=message.pk).update(cache_key="k" * 64)
    now = timezone.now()
    version = message.conversation.persona_version
    CachedReply.objects.create(
        key="k" * 64, near="", persona_version=version, text="x", answered_at=now, expires_at=now
    )
    judged(moderator, "no")
    assert CachedReply.objects.exists()
    judged(admin, "no")
    assert not CachedReply.objects.exists()


@pytest.mark.parametrize(
    ("third", "state", "verdict"), [("no", "settled", "no"), ("yes", "settled", "yes"), ("unclear", "disputed", "")]
)
def test_where_two_disagree_a_third_decides(
    third: str, state: str, verdict: str, item: QualityItem, moderator: User, admin: User
) -> None:
    judged(moderator, "yes")
    judged(admin, "no")
    assert handing.take_next(reviewer=moderator) is None
    judged(make_moderator(), third)
    item.refresh_from_db()
    assert (item.state, item.verdict) == (state, verdict)


def test_nobody_judges_their_own_or_anything_twice(persona: Persona, moderator: User, item: QualityItem) -> None:
    mine = make_item(make_reply(moderator, persona, timezone.now()))
    assert judged(moderator).item == item
    assert handing.take_next(reviewer=moderator) is None
    assert judged(make_moderator()).item == item
    assert judged(make_moderator()).item == mine


def test_one_keeps_what_one_has_until_it_is_given_back(persona: Persona, owner: User, moderator: User) -> None:
    for _number in range(2):
        make_item(make_reply(owner, persona, timezone.now()))
    turn = take(moderator)
    assert take(moderator) == turn
    handing.give_back(reviewer=make_moderator(), review_id=turn.pk)
    assert take(moderator) == turn
    handing.give_back(reviewer=moderator, review_id=turn.pk)
    assert not QualityReview.objects.exists()


def test_a_turn_that_is_over_goes_to_the_next(item: QualityItem, moderator: User, admin: User) -> None:
    first, second = take(moderator), take(admin)
    third = make_moderator()
    assert handing.take_next(reviewer=third) is None
    QualityReview.objects.filter(pk=first.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(ApplicationError) as over:
        handing.open_item(reviewer=moderator, review_id=first.pk)
    assert over.value.code == "review_over"
    assert take(third).slot == first.slot
    with pytest.raises(NotFound):
        handing.judge(reviewer=moderator, review_id=first.pk, answers=answers())
    assert QualityReview.objects.filter(pk=second.pk).exists()


def test_a_late_judgement_counts_where_nobody_else_has_the_turn(item: QualityItem, moderator: User) -> None:
    turn = take(moderator)
    QualityReview.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    assert handing.judge(reviewer=moderator, review_id=turn.pk, answers=answers()).done_at is not None
    with pytest.raises(ApplicationError) as over:
        handing.judge(reviewer=moderator, review_id=turn.pk, answers=answers("no"))
    assert over.value.code == "review_over"


@pytest.mark.parametrize("wrong", [{}, {"correct": "yes"}, answers("perhaps"), answers() | {"speed": "yes"}])
def test_every_criterion_is_answered(wrong: dict[str, str], item: QualityItem, moderator: User) -> None:
    turn = take(moderator)
    with pytest.raises(ApplicationError) as refused:
        handing.judge(reviewer=moderator, review_id=turn.pk, answers=wrong)
    assert refused.value.code == "incomplete"


def test_what_may_not_be_shown_any_more_is_neither_handed_out_nor_opened(
    item: QualityItem, owner: User, moderator: User, admin: User
) -> None:
    turn = take(moderator)
    User.objects.filter(pk=owner.pk).update(restricted_at=timezone.now())
    assert handing.take_next(reviewer=moderator) is None
    assert handing.take_next(reviewer=admin) is None
    for call in (
        lambda: handing.open_item(reviewer=moderator, review_id=turn.pk),
        lambda: handing.judge(reviewer=moderator, review_id=turn.pk, answers=answers()),
    ):
        with pytest.raises(ApplicationError) as over:
            call()
        assert over.value.code == "review_over"


def test_each_opening_is_recorded_about_the_owner(item: QualityItem, owner: User, moderator: User) -> None:
    turn = take(moderator)
    with pytest.raises(NotFound):
        handing.open_item(reviewer=make_moderator(), review_id=turn.pk)
    for _time in range(2):
        handing.open_item(reviewer=moderator, review_id=turn.pk)
    events = AuditEvent.objects.with_people().filter(action="quality.opened")
    assert [(e.actor.person, e.subject.person, e.object_id, e.details) for e in events] == [
        (moderator, owner, str(item.pk), {"role": "moderator"})
    ] * 2


def test_a_comment_is_kept_with_the_reply_it_is_about(item: QualityItem, moderator: User) -> None:
    judged(moderator, comment="  Says Monday, it is Tuesday.  ")
    comment = QualityComment.objects.get()
    assert (comment.text, comment.message_id) == ("Says Monday, it is Tuesday.", item.message_id)


# --- At once


@pytest.mark.django_db(transaction=True)
def test_of_eight_at_once_two_get_an_item_and_nobody_the_same_turn() -> None:
    owner, persona = make_user(), make_persona()
    items = [make_item(make_reply(owner, persona, timezone.now())) for _number in range(3)]
    people = [make_moderator() for _number in range(8)]
    pks = [person.pk for person in people]
    turns: list[Any] = at_a_lock(
        8,
        lambda: list(User.objects.select_for_update().filter(pk__in=pks)),
        lambda number: handing.take_next(reviewer=people[number]),
    )
    assert sum(turn is not None for turn in turns) >= 1
    # Who found every free item locked for a moment tries again, as people do.
    for person, turn in zip(people, turns, strict=True):
        if turn is None:
            handing.take_next(reviewer=person)
    given = QualityReview.objects.values_list("item", "slot")
    assert Counter(given) == Counter({(item.pk, slot): 1 for item in items for slot in (1, 2)})


@pytest.mark.django_db(transaction=True)
def test_one_person_with_many_pages_gets_one_turn() -> None:
    owner, persona, reviewer = make_user(), make_persona(), make_moderator()
    for _number in range(4):
        make_item(make_reply(owner, persona, timezone.now()))
    turns: list[Any] = at_a_lock(
        4,
        lambda: User.objects.select_for_update().get(pk=reviewer.pk),
        lambda _number: handing.take_next(reviewer=reviewer),
    )
    assert len({turn.pk for turn in turns}) == 1
    assert QualityReview.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_judge_at_once_settle_it() -> None:
    item = make_item(make_reply(make_user(), make_persona(), timezone.now()))
    people = [make_moderator(), make_moderator()]
    turns = [take(person) for person in people]
    at_a_lock(
        2,
        lambda: QualityItem.objects.select_for_update().get(pk=item.pk),
        lambda n: handing.judge(reviewer=people[n], review_id=turns[n].pk, answers=answers()),
    )
    item.refresh_from_db()
    assert (item.state, item.verdict) == ("settled", "yes")


def test_replies_that_are_gone_are_not_in_the_queue(item: QualityItem, moderator: User) -> None:
    Message.objects.filter(pk=item.message_id).delete()
    assert handing.take_next(reviewer=moderator) is None
    assert sampling.clear_queue(timezone.now()) == 1
