"""Which replies are judged: every day some by chance, some that were unsure of their sources, some that somebody found
not helpful. Each is drawn by lot within its stratum, and remembers with what probability."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from random import Random, SystemRandom
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from accounts.retention.policies import Class, kept_since
from analytics.period import start_of
from analytics.quality.models import QualityDraw, QualityItem, QualityReview, Stratum
from analytics.rollups import reporting_zone
from conversations.models import Message

log = structlog.get_logger(__name__)

#: Days that are made up for where the task did not run.
LATE_DAYS = 3
#: After a day's end, so that replies that began on it are finished.
SETTLED_AFTER = timedelta(hours=1)


def reviewable() -> QuerySet[Message]:
    """Replies that may be shown to a reviewer at this moment: finished, there still, nothing of them or of their
    question held back or under moderation; of people who have not paused processing and are not suspended, and of
    guests only where QUALITY_GUESTS says so."""
    whose = Q(owner__restricted_at=None, owner__is_active=True)
    if not settings.QUALITY_GUESTS:
        whose &= Q(owner__is_guest=False)
    return (
        Message.objects.replies()
        .exclude(text="")
        .filter(
            whose,
            status=Message.Status.COMPLETED,
            moderation_item=None,
            parent__moderation_item=None,
            conversation__deleted_at=None,
            conversation__expires_at=None,
            conversation__updated_at__gt=kept_since(Class.CONTENT),
        )
    )


def draw_due(now: datetime) -> int:
    """Draw every stratum of the last days that was not drawn yet; how many replies came into the queue. May be run at
    any time, by several at once."""
    zone = reporting_zone()
    last = (now.astimezone(zone) - SETTLED_AFTER).date() - timedelta(days=1)
    days = [last - timedelta(days=back) for back in reversed(range(LATE_DAYS))]
    return sum(draw(day, stratum) for day in days for stratum in Stratum)


def draw(day: date, stratum: Stratum, chance: Random | None = None) -> int:
    """Draw the stratum of the day, unless that was done; how many replies. A size of 0 draws nothing and leaves the day
    to be drawn."""
    size = _sizes()[stratum]
    if not size or QualityDraw.objects.filter(day=day, stratum=stratum).exists():
        return 0
    with transaction.atomic():
        # Whoever is second waits for the first's commit here, and goes on with nothing.
        made, is_mine = QualityDraw.objects.get_or_create(
            day=day, stratum=stratum, defaults={"population": 0, "drawn": 0}
        )
        if not is_mine:
            return 0
        population = sorted(_population(day, stratum).values_list("pk", flat=True))
        drawn = (chance or SystemRandom()).sample(population, min(size, len(population)))
        if drawn:
            _put(drawn, stratum, len(drawn) / len(population))
        made.population, made.drawn = len(population), len(drawn)
        made.save(update_fields=["population", "drawn"])
    log.info("quality.drawn", day=str(day), stratum=stratum.value, population=len(population), drawn=len(drawn))
    return len(drawn)


def clear_queue(now: datetime) -> int:
    """Take out what will have no verdict: its reply is gone before two people agreed, or QUALITY_OPEN_DAYS are over and
    nobody has begun; how many rows went."""
    oldest = now.astimezone(reporting_zone()).date() - timedelta(days=settings.QUALITY_OPEN_DAYS)
    begun = QualityReview.objects.filter(Q(done_at__isnull=False) | Q(lease_until__gt=now), item=OuterRef("pk"))
    over = Q(message=None) | (Q(day__lt=oldest) & ~Exists(begun))
    gone, _of = QualityItem.objects.filter(over, state=QualityItem.State.OPEN).delete()
    return gone


def is_on() -> bool:
    """Whether any replies are drawn."""
    return any(_sizes().values())


def _sizes() -> Mapping[Stratum, int]:
    return {
        Stratum.RANDOM: settings.QUALITY_RANDOM,
        Stratum.UNSURE: settings.QUALITY_UNSURE,
        Stratum.DISLIKED: settings.QUALITY_DISLIKED,
    }


def _population(day: date, stratum: Stratum) -> QuerySet[Message]:
    """Those of the stratum; found not helpful on that day, whenever they were written."""
    zone = reporting_zone()
    start, end = start_of(day, zone), start_of(day + timedelta(days=1), zone)
    if stratum == Stratum.DISLIKED:
        return reviewable().filter(feedback__value=-1, feedback__updated_at__gte=start, feedback__updated_at__lt=end)
    found = reviewable().filter(created_at__gte=start, created_at__lt=end)
    if stratum == Stratum.RANDOM:
        return found
    # What it says it does not know is no answer, and stands in the editors' list of gaps.
    asked = found.exclude(source=None).exclude(source=Message.Source.UNKNOWN)
    best = Coalesce(Max("citations__score"), 0.0)
    return asked.annotate(best=best).filter(best__lt=settings.QUALITY_UNSURE_BELOW)


def _put(drawn: Sequence[UUID], stratum: Stratum, chance: float) -> None:
    """Into the queue, in the order in which they were drawn; what another stratum has put there stays one item."""
    zone = reporting_zone()
    rows = Message.objects.select_related("conversation__persona_version").in_bulk(drawn)
    for pk in drawn:
        message = rows[pk]
        version = message.conversation.persona_version
        QualityItem.objects.update_or_create(
            message=message,
            defaults={QualityItem.CHANCES[stratum]: chance},
            create_defaults={
                QualityItem.CHANCES[stratum]: chance,
                "day": message.created_at.astimezone(zone).date(),
                "persona": version.persona_id,
                "version": version.pk,
            },
        )
