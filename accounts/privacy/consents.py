"""The ledger of consents: what somebody agreed to, and what follows from it."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Subquery
from django.utils.translation import gettext as _

from accounts.models import Consent, Purpose, User
from accounts.privacy.policies import Policy, is_asked, policy_of
from accounts.services import record_audit
from accounts.signals import consent_withdrawn
from chatbot_project.lib.errors import ApplicationError, NotFound

Source = Consent.Source


@dataclass(frozen=True, slots=True)
class Standing:
    """A policy in force and the person's last word on it, ``None`` where there is none. ``is_open``: not on this
    version yet, so that they are to be asked."""

    policy: Policy
    decision: Consent | None

    @property
    def is_open(self) -> bool:
        return self.decision is None or self.decision.version != self.policy.version

    @property
    def is_granted(self) -> bool:
        return not self.is_open and self.decision is not None and self.decision.granted


def standings(user: User) -> list[Standing]:
    """One for each purpose that is asked for; and for what the operator asks for no more, as long as they agree to it,
    for it may be asked for again. One query."""
    newest = Consent.objects.filter(user=user).order_by("purpose", "-id").distinct("purpose")
    last: dict[str, Consent] = {each.purpose: each for each in newest}
    agreed = {purpose for purpose, each in last.items() if each.granted}
    known = [purpose for purpose in Purpose if is_asked(purpose) or purpose in agreed]
    return [Standing(policy_of(purpose), last.get(purpose)) for purpose in known]


def open_questions(user: User) -> list[Standing]:
    """What is to be asked of ``user``: purposes they have said nothing on, and policies with a new version."""
    return [each for each in standings(user) if each.is_open and is_asked(each.policy.purpose)]


def allows(user: User, purpose: Purpose) -> bool:
    """Whether ``user`` has agreed to the policy in force and not withdrawn. One query."""
    last = Consent.objects.filter(user=user, purpose=purpose).order_by("-id").first()
    return Standing(policy_of(purpose), last).is_granted


def held_by_consent(purpose: Purpose, *, person: str, at: str) -> Exists:
    """A condition for rows of others: that the person to whom ``person`` leads (a lookup) agrees, and did ``at`` the
    row's time (a field) already."""
    newest = Consent.objects.filter(user=OuterRef("user"), purpose=purpose).order_by("-id").values("id")[:1]
    theirs = Consent.objects.filter(user=OuterRef(person), pk=Subquery(newest), at__lte=OuterRef(at))
    return Exists(theirs.filter(granted=True, version=policy_of(purpose).version))


def decide(
    *,
    user: User,
    purpose: str,
    granted: bool,
    version: int,
    source: Consent.Source,
    language: str = "",
    at: datetime | None = None,
) -> Consent:
    """Add a decision on the policy in force, and let its effects follow in the same transaction. The same decision
    again adds nothing. ``version`` is the one that the person was shown.

    Raises ApplicationError ``policy_changed`` (409) where another is in force by now. A withdrawal is taken all the
    same: it needs no text. Raises NotFound for what is not asked for here, but from whom has once agreed to it and
    withdraws.
    """
    if not is_asked(purpose) and (granted or not Consent.objects.filter(user=user, purpose=purpose).exists()):
        raise NotFound(_("There is no such thing here."))
    policy = policy_of(purpose)
    if granted and version != policy.version:
        raise ApplicationError("policy_changed", _("The text has changed. Read it again first."), status=409)
    text = policy.text(language)
    with transaction.atomic():
        # Whoever keeps something by a consent holds the person's row meanwhile: none slips in behind a withdrawal.
        User.objects.select_for_update().get(pk=user.pk)
        before = Consent.objects.filter(user=user, purpose=purpose).order_by("-id").first()
        if before is not None and (before.granted, before.version) == (granted, policy.version):
            return before
        made = Consent(
            user=user,
            purpose=purpose,
            granted=granted,
            version=policy.version,
            text_hash=text.digest,
            language=text.language,
            source=source,
        )
        if at is not None:
            made.at = at
        made.save()
        details = {"purpose": str(purpose), "version": policy.version, "source": str(source)}
        action = "consent.granted" if granted else "consent.withdrawn"
        record_audit(actor=user, action=action, obj=made, subject=user, details=details)
        if not granted:
            consent_withdrawn.send(sender=Consent, user=user, purpose=Purpose(purpose))
    return made
