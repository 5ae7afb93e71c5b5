"""Sends reports to who subscribed to them: each once, tried again for a while where the mail server refuses."""

from datetime import datetime, timedelta
from smtplib import SMTPException
from time import monotonic

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models.people import normalise_address
from analytics.models import Delivery, Report, Subscription
from analytics.reports.letter import build_mail
from analytics.reports.periods import REPORTED, last_over
from analytics.reports.subscribing import address_of
from personas.models import Persona

log = structlog.get_logger(__name__)

SENDING = timedelta(minutes=10)  # longer than any sending takes: who holds a mail for longer is dead
MOST_TRIES = 30  # a little more than a day
BATCH = 100
RUN_SECONDS = 240
State = Delivery.State


def follow_settings() -> None:
    """Have a weekly subscription for each address of ``REPORT_MAIL``, and none from there for another. One that was
    ended stays ended."""
    wanted = {normalise_address(address) for address in settings.REPORT_MAIL}
    Subscription.objects.filter(from_settings=True).exclude(address__in=wanted).delete()
    Subscription.objects.bulk_create(
        (
            Subscription(
                address=address, grain=Subscription.Grain.WEEK, language=settings.LANGUAGE_CODE, from_settings=True
            )
            for address in sorted(wanted)
        ),
        ignore_conflicts=True,
    )


def personas_wanted(grain: str) -> list[Persona]:
    """Those whose own report somebody gets."""
    chosen = Subscription.objects.filter(grain=grain, is_active=True).exclude(persona=None).values("persona")
    return list(Persona.objects.with_published().filter(pk__in=chosen))


def queue(now: datetime) -> None:
    """Have the newest report of each kind mailed to who subscribed to it before it was made. Older ones that were made
    late are not mailed."""
    newest = Q()
    for grain in REPORTED:
        newest |= Q(grain=grain, start=last_over(grain, now).bounds[0])
    for report in Report.objects.filter(newest):
        _queue(report, Subscription.objects.filter(created_at__lte=report.made_at))


def mail_again(report: Report) -> int:
    """Have it mailed to all who subscribe to its kind, also to who got it; to how many."""
    queued = _queue(report, Subscription.objects.all())
    Delivery.objects.filter(report=report, subscription__is_active=True).exclude(state=State.WAITING).update(
        state=State.WAITING, attempts=0, next_try_at=timezone.now(), ended_at=None
    )
    return queued


def _queue(report: Report, subscriptions: QuerySet[Subscription]) -> int:
    chosen = subscriptions.filter(grain=report.grain, persona=report.persona, is_active=True)
    rows = [Delivery(subscription=subscription, report=report) for subscription in chosen]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def send_due() -> int:
    """Send what is due; how many went out. Takes four minutes and one mail at most; what is left is the next run's.
    Raises what went wrong with a mail, once all others had their turn, so that it is told as a failure."""
    until = monotonic() + RUN_SECONDS
    due = Delivery.objects.filter(state=State.WAITING, next_try_at__lte=timezone.now())
    sent, failed = 0, list[Exception]()
    for pk in list(due.order_by("next_try_at").values_list("pk", flat=True)[:BATCH]):
        try:
            sent += send(pk)
        except Exception as error:  # one must not keep the others waiting
            log.exception("report.not_sent", delivery=pk)
            failed.append(error)
        if monotonic() > until:
            break
    if failed:
        raise failed[0]
    return sent


def send(delivery_id: int) -> bool:
    """Send one that is due; whether it went out. Raises what went wrong with making it; it is tried again like one that
    a server refuses.

    The row is claimed first by moving its next try, so two workers never send the same mail; a worker that dies between
    sending and noting it makes it go out twice, never not at all.
    """
    now = timezone.now()
    claimed = Delivery.objects.filter(pk=delivery_id, state=State.WAITING, next_try_at__lte=now)
    if not claimed.update(next_try_at=now + SENDING):
        return False
    delivery = Delivery.objects.select_related("subscription__user", "report").get(pk=delivery_id)
    address = address_of(delivery.subscription) if delivery.subscription.is_active else None
    if address is None:
        _end(delivery, State.WITHHELD)
        return False
    try:
        build_mail(delivery.report, delivery.subscription, address).send()
    except (SMTPException, OSError):
        log.warning("report.not_sent", exc_info=True, delivery=delivery_id)
        _try_later(delivery)
        return False
    except Exception:
        _try_later(delivery)
        raise
    log.info("report.sent", delivery=delivery_id)
    _end(delivery, State.SENT)
    Report.objects.filter(pk=delivery.report_id).update(mailed_at=timezone.now())
    return True


def _try_later(delivery: Delivery) -> None:
    """Wait longer after each failure, an hour at most; give up after MOST_TRIES."""
    delivery.attempts += 1
    if delivery.attempts >= MOST_TRIES:
        log.error("report.given_up", delivery=delivery.pk)
        _end(delivery, State.GIVEN_UP)
        return
    delivery.next_try_at = timezone.now() + timedelta(minutes=min(2**delivery.attempts, 60))
    delivery.save(update_fields=["attempts", "next_try_at"])


def _end(delivery: Delivery, state: Delivery.State) -> None:
    delivery.state, delivery.ended_at = state, timezone.now()
    delivery.save(update_fields=["attempts", "state", "ended_at"])
