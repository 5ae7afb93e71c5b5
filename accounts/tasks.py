"""Background work about people. Every task may run twice, or die half-way, and the next run completes it."""

import logging
from datetime import timedelta
from smtplib import SMTPException
from time import monotonic
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from accounts.audit import chain, checkpoints
from accounts.mail import build_message
from accounts.models import OutgoingMail, RetentionRun
from accounts.retention import runs
from accounts.retention.policies import Class, period_of
from accounts.retention.runs import sweep_now

logger = logging.getLogger(__name__)

SENDING = timedelta(minutes=5)  # longer than any sending takes: who holds a mail for longer is dead
SENDING_SECONDS = 60
HANDED_OVER_SECONDS = 600  # waiting for a worker; send_waiting_mail looks every minute
SWEEPING_SECONDS = 120
RETENTION_SECONDS = 480
RETENTION_EVERY = timedelta(hours=20)  # beat looks every hour: once a day, at about the same time
BATCH = 500


@shared_task(ignore_result=True, expires=HANDED_OVER_SECONDS)
def send_mail(mail_id: str) -> bool:
    """Send one waiting mail and delete its row. Returns whether it is done with.

    The row is claimed first by moving its next try, so two workers never send the same mail; a worker that dies between
    sending and deleting makes it go out twice, never not at all.
    """
    now = timezone.now()
    claimed = OutgoingMail.objects.filter(pk=UUID(mail_id), next_try_at__lte=now).update(next_try_at=now + SENDING)
    mail = OutgoingMail.objects.select_related("sign_up", "user").filter(pk=UUID(mail_id)).first() if claimed else None
    if mail is None:
        return False
    if _is_over(mail):
        _give_up(mail)
        return False
    message = build_message(mail)
    if message is not None:
        try:
            message.send()
        except (SMTPException, OSError):
            logger.warning("mail_not_sent", exc_info=True, extra={"mail_id": mail_id, "kind": mail.kind})
            _try_later(mail)
            return False
        logger.info("mail_sent", extra={"mail_id": mail_id, "kind": mail.kind})
    mail.delete()
    return True


def _try_later(mail: OutgoingMail) -> None:
    """Wait longer after each failure; give up once its time is over, when the links are of no use any more."""
    if _is_over(mail):
        _give_up(mail)
        return
    mail.attempts += 1
    mail.next_try_at = timezone.now() + timedelta(minutes=min(2**mail.attempts, 60))
    mail.save(update_fields=["attempts", "next_try_at"])


def _is_over(mail: OutgoingMail) -> bool:
    return timezone.now() - mail.created_at > period_of(Class.MAIL)


def _give_up(mail: OutgoingMail) -> None:
    logger.error("mail_given_up", extra={"mail_id": str(mail.pk), "kind": mail.kind})
    mail.delete()


@shared_task(ignore_result=True)
def send_waiting_mail() -> int:
    """Send what is due and was not handed over or not accepted the first time. Returns how many went out.

    Takes a minute and one mail at most; what is left is the next run's.
    """
    until = monotonic() + SENDING_SECONDS
    due = OutgoingMail.objects.filter(next_try_at__lte=timezone.now()).order_by("next_try_at")
    sent = 0
    for mail_id in due.values_list("pk", flat=True)[:BATCH]:
        sent += send_mail(str(mail_id))
        if monotonic() > until:
            break
    return sent


@shared_task(ignore_result=True)
def expire_guests() -> int:
    """Remove guests who were not seen for so long with all they have, in bounded batches. Returns how many went.

    A guest who comes back, or becomes a user, in this moment holds the row and is left out; so is who is held. Takes
    two minutes and one batch at most; what is left is the next run's.
    """
    gone = sweep_now("guests", seconds=SWEEPING_SECONDS)
    logger.info("guests_expired", extra={"count": gone})
    return gone


@shared_task(ignore_result=True)
def clear_expired() -> int:
    """Delete sessions and token families that have run out, and sign-ups whose link has. Returns how many rows went.

    A family that was revoked stays until its tokens would have run out: until then it is known that it was. Takes six
    minutes and three batches at most.
    """
    return sum(sweep_now(key, seconds=SWEEPING_SECONDS) for key in ("sessions", "program_sign_ins", "sign_ups"))


@shared_task(ignore_result=True)
def apply_retention() -> bool:
    """Go through all that can be over once a day, or on where a run was cut off. Returns whether a run was finished.

    Takes eight minutes at most; what is left is the next hour's.
    """
    lately = timezone.now() - RETENTION_EVERY
    cut_off = RetentionRun.objects.filter(finished_at=None)
    if RetentionRun.objects.filter(finished_at__gt=lately).exists() and not cut_off.exists():
        return False
    try:
        run = runs.apply(seconds=RETENTION_SECONDS)
    except runs.Busy:
        return False
    return run.finished_at is not None


@shared_task(ignore_result=True)
def seal_audit() -> int:
    """Put new audit events into the chain. Returns how many went in."""
    return chain.seal()


@shared_task(ignore_result=True)
def checkpoint_audit() -> bool:
    """Sign how far the audit trail's chain has come. Returns whether it had come further. Raises OSError."""
    return checkpoints.make_checkpoint() is not None
