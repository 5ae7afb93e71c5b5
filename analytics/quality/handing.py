"""Who judges what: a reply is handed to one person at a time for each of its turns, two of them, three where the first
two disagree. Nobody judges what they own, or anything twice, and nobody sees another's judgement before theirs is done.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from analytics.quality.models import Answer, QualityComment, QualityItem, QualityReview
from analytics.quality.rubric import CORRECT, RUBRIC
from analytics.quality.sampling import reviewable
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from conversations.replies.cache.emptying import forget_reply

PERMISSION = "analytics.review_replies"
MOST_COMMENT = 2000
#: How many items are tried where others take the first ones at the same moment.
TRIED = 50


def waiting_for(reviewer: User) -> QuerySet[QualityItem]:
    """What could be handed to ``reviewer`` now, in the order in which it is: begun ones first, then the oldest."""
    now = timezone.now()
    taken = Count("reviews", filter=Q(reviews__done_at__isnull=False) | Q(reviews__lease_until__gt=now))
    mine = QualityReview.objects.filter(item=OuterRef("pk"), reviewer=reviewer)
    return (
        QualityItem.objects.filter(
            state=QualityItem.State.OPEN, message__in=reviewable().exclude(owner=reviewer).values("pk")
        )
        .exclude(Exists(mine.filter(Q(done_at__isnull=False) | Q(lease_until__gt=now))))
        .annotate(taken=taken)
        .filter(taken__lt=F("needed"))
        .order_by("-taken", "day", "pk")
    )


def take_next(*, reviewer: User) -> QualityReview | None:
    """A turn at the next item for ``reviewer``, for QUALITY_LEASE_MINUTES; the one that they have, if there is one.
    ``None`` where nothing is left for them. Raises ApplicationError ``forbidden``."""
    _refuse_others(reviewer)
    with transaction.atomic():
        # One at a time, whatever pages they have open.
        User.objects.select_for_update(no_key=True).get(pk=reviewer.pk)
        if (held := held_by(reviewer)) is not None:
            return held
        for pk in list(waiting_for(reviewer).values_list("pk", flat=True)[:TRIED]):
            # First the lock, then the look: what another transaction committed in between is seen.
            locked = QualityItem.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
            if locked is not None and waiting_for(reviewer).filter(pk=pk).exists():
                return _take(locked, reviewer)
    return None


def held_by(reviewer: User) -> QualityReview | None:
    """The turn that the person has and has not done, where its reply may be shown still."""
    now = timezone.now()
    live = QualityReview.objects.filter(reviewer=reviewer, done_at=None, lease_until__gt=now)
    return live.filter(item__message__in=reviewable().values("pk")).select_related("item").first()


def give_back(*, reviewer: User, review_id: UUID) -> None:
    """Let others have that turn. Nothing, where it is over or done."""
    QualityReview.objects.filter(pk=review_id, reviewer=reviewer, done_at=None).delete()


def open_item(*, reviewer: User, review_id: UUID) -> QualityReview:
    """The turn, with its item and message, to be shown to ``reviewer``. That they opened it is recorded in the same
    transaction, and told to whose reply it is.

    Raises ApplicationError ``forbidden``, ``review_over`` (409) where the turn is over or the reply may not be shown
    any more; NotFound for others' turns.
    """
    _refuse_others(reviewer)
    with transaction.atomic():
        review = _mine(reviewer, review_id)
        message = reviewable().select_related("owner", "parent", "conversation__persona_version").filter(
            quality_item=review.item_id
        ).first()  # fmt: skip
        if review.done_at is not None or review.lease_until <= timezone.now() or message is None:
            raise _over()
        review.item.message = message
        record_audit(
            actor=reviewer,
            action="quality.opened",
            obj=review.item,
            subject=message.owner,
            details={"role": str(reviewer.role)},
        )
        return review


def judge(*, reviewer: User, review_id: UUID, answers: Mapping[str, str], comment: str = "") -> QualityReview:
    """Keep what ``reviewer`` says of each criterion, and settle the item where two people agree on its correctness.

    Raises ApplicationError ``forbidden``, ``incomplete`` (400), ``review_over`` (409); NotFound for others' turns.
    """
    _refuse_others(reviewer)
    if set(answers) != set(RUBRIC) or not set(answers.values()) <= set(Answer.values):
        raise ApplicationError("incomplete", _("Say something of every criterion."))
    with transaction.atomic():
        item_id = _mine(reviewer, review_id).item_id
        item = QualityItem.objects.select_for_update(of=("self",)).filter(pk=item_id).first()
        # What had its time may have gone to somebody else meanwhile: only then is it too late.
        review = QualityReview.objects.filter(pk=review_id, reviewer=reviewer, done_at=None).first()
        message = reviewable().filter(quality_item=item_id).first()
        if item is None or review is None or message is None:
            raise _over()
        for name, answer in answers.items():
            setattr(review, name, answer)
        review.done_at = timezone.now()
        review.save()
        if text := clean_text(comment).strip()[:MOST_COMMENT]:
            QualityComment.objects.create(review=review, message=message, text=text)
        _settle(item)
        record_audit(actor=reviewer, action="quality.judged", obj=item, details={"role": str(reviewer.role)})
    return review


def settled(votes: list[str]) -> str:
    """The answer that at least two gave, else ""."""
    answer, count = Counter(votes).most_common(1)[0] if votes else ("", 0)
    return answer if count >= 2 else ""


def _settle(item: QualityItem) -> None:
    votes = list(item.reviews.filter(done_at__isnull=False).values_list(CORRECT, flat=True))
    if len(votes) < item.needed:
        return
    if answer := settled(votes):
        item.state, item.verdict = QualityItem.State.SETTLED, answer
        if answer == Answer.NO and item.message is not None:
            forget_reply(item.message)
    elif item.needed == 2:
        item.needed = 3
    else:
        item.state = QualityItem.State.DISPUTED
    item.save(update_fields=["state", "verdict", "needed"])


def _take(item: QualityItem, reviewer: User) -> QualityReview:
    """A free turn; those that are over and were not done are free. The item is locked."""
    now = timezone.now()
    item.reviews.filter(done_at=None, lease_until__lte=now).delete()
    used = set(item.reviews.values_list("slot", flat=True))
    slot = next(number for number in range(1, item.needed + 1) if number not in used)
    return QualityReview.objects.create(item=item, slot=slot, reviewer=reviewer, lease_until=_lease_from(now))


def _lease_from(now: datetime) -> datetime:
    return now + timedelta(minutes=settings.QUALITY_LEASE_MINUTES)


def _mine(reviewer: User, review_id: UUID) -> QualityReview:
    found = QualityReview.objects.select_related("item").filter(pk=review_id, reviewer=reviewer).first()
    if found is None:
        raise NotFound
    return found


def _over() -> ApplicationError:
    detail = _("Your turn at this reply is over, or it is not there any more. Take the next one.")
    return ApplicationError("review_over", detail, status=409)


def _refuse_others(reviewer: User) -> None:
    if not reviewer.has_perm(PERMISSION):
        raise ApplicationError("forbidden", _("You may not judge replies."), status=403)
