"""What broke a rule: noted by workers, decided by moderators, objected to by people."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import OutgoingMail, User
from accounts.services import record_audit, tell_by_mail
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.metrics.caches import Lookups
from chatbot_project.lib.text import clean_text
from conversations.models import Message
from conversations.safety.models import ModerationItem, ModerationRule
from conversations.safety.rules import ACTIONS, OUTPUT, Rule, RuleSet
from conversations.safety.scores import suspend_if_due

RULES_SECONDS = 5.0  # how soon a changed rule holds everywhere
MAX_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """``message`` broke ``rule``, or an endpoint gave it ``score``; ``source`` is a value of models.Source.
    ``withdrawn`` is what was shown of a reply before it was taken back for this."""

    message: UUID
    rule: Rule
    source: str = "rule"
    score: float | None = None
    withdrawn: str = ""

    @property
    def condemns(self) -> bool:
        """Whether what was shown of a reply is taken back for it."""
        return self.rule.stage == OUTPUT and self.rule.action == "block" and self.source != "rule"


_lookups = Lookups("moderation_rules")


class _Kept:
    """The rules as this process read them last. Database threads may read them twice at once, which costs a query."""

    rules = RuleSet(())
    until = 0.0
    changes = 0  # that this process has heard of


def kept_rules() -> RuleSet | None:
    """The rules in force, as read within the last five seconds; ``None`` where they have to be read again."""
    kept = time.monotonic() < _Kept.until
    _lookups.note(hit=kept)
    return _Kept.rules if kept else None


def read_rules() -> RuleSet:
    """The rules in force, in one query, kept for five seconds unless they are changed meanwhile. Raises Django's
    database errors."""
    changes, began = _Kept.changes, time.monotonic()
    rules = RuleSet(rule.as_rule for rule in ModerationRule.objects.filter(enabled=True))
    if changes == _Kept.changes:
        _Kept.rules, _Kept.until = rules, began + RULES_SECONDS
    return rules


def forget_rules() -> None:
    """Read the rules anew next time: they were changed."""
    _Kept.changes += 1
    _Kept.until = 0.0


def record_finding(finding: Finding) -> None:
    """Note what broke a rule, once a message: asking again for the same question is not another violation. A stronger
    action than was noted takes its place as long as nobody has decided. A message or rule that is gone is left. Whoever
    has done so too often is suspended."""
    fields: dict[str, Any] = {
        "rule_id": finding.rule.id,
        "action": finding.rule.action,
        "category": finding.rule.category,
        "source": finding.source,
        "score": finding.score,
        "withdrawn": finding.withdrawn,
    }
    owner = Message.objects.filter(pk=finding.message).values_list("owner_id", flat=True).first()
    if owner is None:
        return
    try:
        with transaction.atomic():
            if finding.rule.id and not ModerationRule.objects.filter(pk=finding.rule.id).exists():
                fields["rule_id"] = None
            item, is_new = ModerationItem.objects.select_for_update().get_or_create(
                message_id=finding.message, defaults=fields | {"owner_id": owner}
            )
            weaker = ACTIONS.index(item.action) < ACTIONS.index(finding.rule.action)
            if not is_new and weaker and item.state == ModerationItem.State.OPEN:
                for name, value in fields.items():
                    setattr(item, name, value)
                item.save(update_fields=["rule", "action", "category", "source", "score", "withdrawn"])
    except IntegrityError:
        return  # the conversation was purged meanwhile
    if is_new or weaker:
        suspend_if_due(owner)


def decide_item(*, item: ModerationItem, actor: User, state: str, note: str = "", answer: str = "") -> ModerationItem:
    """Uphold or dismiss what was noted; deciding again, as after an objection, replaces the decision.

    Raises ApplicationError ``not_allowed`` (403), ``bad_request``.
    """
    if not actor.has_perm("conversations.change_moderationitem"):
        raise ApplicationError("not_allowed", _("You may not do that."), status=403)
    if state not in (ModerationItem.State.UPHELD, ModerationItem.State.DISMISSED):
        raise ApplicationError("bad_request", _("Uphold or dismiss it."))
    with transaction.atomic():
        item = ModerationItem.objects.select_for_update(of=("self",)).select_related("owner", "message").get(pk=item.pk)
        item.state, item.decided_by, item.decided_at = state, actor, timezone.now()
        item.note, item.answer = _line(note), _line(answer)
        item.save(update_fields=["state", "decided_by", "decided_at", "note", "answer"])
        person = item.owner
        record_audit(actor=actor, action="moderation.decided", obj=item, subject=person, details={"state": state})
        if item.appealed_at is not None:
            tell_by_mail(kind=OutgoingMail.Kind.OBJECTION_DECIDED, user=person)
        if state == ModerationItem.State.UPHELD:
            suspend_if_due(item.owner_id)
    return item


def appeal_item(*, user: User, item_id: UUID, text: str) -> ModerationItem:
    """Object to what was done with one's own message, once; a moderator looks at it again.

    Raises NotFound; ApplicationError ``empty_text``, ``not_offered`` (409) where it was objected to or taken back.
    """
    words = _line(text)
    if not words:
        raise ApplicationError("empty_text", _("Say why you object."))
    with transaction.atomic():
        item = ModerationItem.objects.visible_to(user).select_for_update(of=("self",)).filter(pk=item_id).first()
        if item is None:
            raise NotFound
        if not item.can_appeal:
            raise ApplicationError("not_offered", _("You have objected to this already."), status=409)
        item.appeal, item.appealed_at, item.state = words, timezone.now(), ModerationItem.State.OPEN
        item.save(update_fields=["appeal", "appealed_at", "state"])
        record_audit(actor=user, action="moderation.appealed", obj=item, subject=user)
    return item


def _line(text: str) -> str:
    return " ".join(clean_text(text).split())[:MAX_TEXT]
