"""What reviews of replies hold of people: of whose reply it is, until it is gone; and of who judged it."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from accounts.privacy.registry import Basis, DataClass, Erasure, Nothing, PersonalData, Retention, declare
from accounts.retention.policies import Class
from analytics.quality.models import QualityComment, QualityDraw, QualityItem, QualityOpinion, QualityReview
from analytics.quality.rubric import RUBRIC

BATCH = 500
PURPOSE = "Knowing how good replies are, from a sample that staff judge without being told whose it is."


def _let_go(person: Any) -> int:
    """Of verdicts nothing that leads to the person is left; what has none goes."""
    batch = list(QualityItem.objects.filter(message__owner=person.pk).values_list("pk", flat=True)[:BATCH])
    items = QualityItem.objects.filter(pk__in=batch)
    with transaction.atomic():
        items.filter(state=QualityItem.State.OPEN).delete()
        QualityComment.objects.filter(review__item__in=batch).delete()
        items.update(message=None)
    return len(batch)


def _forget_reviewer(person: Any) -> int:
    """What they judged stays, without them; their turns that are not done go."""
    mine = QualityReview.objects.filter(reviewer=person.pk)
    with transaction.atomic():
        undone, _of = mine.filter(done_at=None).delete()
        return undone + mine.update(reviewer=None)


declare(
    Nothing(QualityDraw, "How many replies of a day were drawn, out of how many."),
    Nothing(QualityOpinion, "What a model said of a reply by a list of criteria, without text; it hangs on the item."),
    PersonalData(
        model=QualityItem,
        about=gettext_noop("Replies that were drawn to be judged by staff, and whether they were found correct"),
        data_class=DataClass.OPINION,
        purpose=PURPOSE,
        basis=Basis.INTEREST,
        of="message__owner",
        erasure=Erasure.ANONYMISE,
        erasure_note="The verdict stays without its reply; where there is none yet, the row is deleted.",
        retention=Retention(
            "Leads to the reply as long as that is kept. The verdict of a reply that is gone stays, with its date, "
            "persona and version alone: so many days, if set. What nobody judges leaves the queue.",
            (Class.VERDICT,),
            "day",
        ),
        section="reviewed_replies",
        exported=("message", "day", "state", "verdict"),
        erase=_let_go,
    ),
    PersonalData(
        model=QualityComment,
        about=gettext_noop("What staff wrote about replies to the person that they judged"),
        data_class=DataClass.OPINION,
        purpose=PURPOSE,
        basis=Basis.INTEREST,
        of="message__owner",
        erasure=Erasure.DELETE,
        erasure_note="Deleted.",
        retention=Retention("As the reply's conversation."),
        section="review_comments",
        exported=("message", "text"),
        written=("text",),
    ),
    PersonalData(
        model=QualityReview,
        about=gettext_noop("What a reviewer said of replies that were drawn"),
        data_class=DataClass.RECORD,
        purpose="Two people judge each reply, nobody one twice; how far they agree.",
        basis=Basis.INTEREST,
        of="reviewer",
        erasure=Erasure.ANONYMISE,
        erasure_note="What they said stays, without them; what they had not finished is deleted.",
        retention=Retention("As the verdict; without the reviewer once the account is gone.", since="done_at"),
        section="reviews_written",
        exported=("item", "done_at", *RUBRIC),
        erase=_forget_reviewer,
    ),
)
