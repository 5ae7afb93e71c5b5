"""Every write to FAQs. Each function locks what it changes first, so that two at once take turns.

``actor`` is who did it, or ``None`` for the system. Invalid content raises Django's ValidationError by field; what the
state does not allow raises ApplicationError. Callers check permissions. The tree of categories is in ``categories``,
earlier versions in ``history``, translations in ``translations``, files in ``transfer``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Unpack

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from faqs.content import CONTENT_FIELDS, FAQFields, FurtherFields, clean_phrasings, content_of, fill
from faqs.locks import lock_faqs, lock_shape
from faqs.models import FAQ, Category, FAQFeedback, FAQVersion, Phrasing
from faqs.phrasings import as_rows, phrasings_of, refresh_search, set_phrasings
from faqs.signals import faq_did_not_help
from faqs.state import bump_revision

__all__ = [
    "CONTENT_FIELDS",
    "archive_faqs",
    "create_faq",
    "delete_faq",
    "edit_faq",
    "give_faq_feedback",
    "publish_faqs",
    "unarchive_faq",
]


# --- Content ----------------------------------------------------------------------------------------------------------
@transaction.atomic
def create_faq(
    *,
    actor: User | None,
    question: str,
    answer: str | None,
    phrasings: Sequence[str] = (),
    note: str = "",
    **fields: Unpack[FurtherFields],
) -> FAQ:
    """A new draft with its first version. ``drafted_by`` names the model that wrote it, until a person publishes it.

    ``answer`` is ``None`` where it is still to be written: nothing else can be changed, or published, before it is.
    """
    given = {"question": question} if answer is None else {"question": question, "answer": answer}
    faq = fill(FAQ(), {**given, **fields}, required=list(given))
    wordings = clean_phrasings(phrasings, question=faq.question)
    _hold_category(faq.category)
    faq.save()
    Phrasing.objects.bulk_create(as_rows(faq, wordings))
    refresh_search([faq])
    _add_version(faq, content_of(faq, wordings), actor, note)
    record_audit(actor=actor, action="faq.created", obj=faq)
    return faq


@transaction.atomic
def edit_faq(
    *,
    faq: FAQ,
    actor: User | None,
    note: str = "",
    phrasings: Sequence[str] | None = None,
    expected_version: int | None = None,
    **fields: Unpack[FAQFields],
) -> FAQ:
    """Change an FAQ and return it as stored; a new version where its content changed. What is published changes for
    readers at once.

    ``phrasings`` replaces all of them. Raises ApplicationError ``edit_conflict`` (409) where ``expected_version`` is
    not the version in force, and ``translation_exists`` (409).
    """
    if "category" in fields:
        lock_shape(shared=True)
    faq = lock_faq(faq)
    if expected_version is not None and expected_version != faq.version:
        raise ApplicationError(
            "edit_conflict", _("Somebody else has changed this FAQ in the meantime. Compare and try again."), status=409
        )
    wordings = phrasings_of(faq)
    before = content_of(faq, wordings)
    fill(faq, fields)
    after = content_of(faq, merged(wordings, phrasings, faq.question))
    _hold_category(faq.category if "category" in fields else None)
    changed = [name for name, value in after.items() if value != before[name]]
    if changed:
        faq.version += 1
        faq.updated_at = timezone.now()
    with _one_translation_a_language():
        faq.save()
    if changed:
        set_phrasings([(faq, after["phrasings"])])
        refresh_search([faq])
        _add_version(faq, after, actor, note)
        record_audit(actor=actor, action="faq.edited", obj=faq, details={"number": faq.version, "fields": changed})
        if faq.status == FAQ.Status.PUBLISHED:
            bump_revision()
    return faq


@transaction.atomic
def delete_faq(*, faq: FAQ, actor: User | None) -> None:
    """Remove an FAQ with its history for good; archiving is the normal way."""
    faq = lock_faq(faq)
    record_audit(actor=actor, action="faq.deleted", obj=faq, details={"number": faq.version})
    was_published = faq.status == FAQ.Status.PUBLISHED
    faq.delete()
    if was_published:
        bump_revision()


# --- In force or not --------------------------------------------------------------------------------------------------
@transaction.atomic
def publish_faqs(*, faqs: Iterable[FAQ], actor: User | None) -> list[FAQ]:
    """Put drafts in force, all of them or none; returns those that were not published before.

    Raises ApplicationError ``not_publishable`` (409), naming the first that is archived, incomplete or already past.
    """
    drafts = [faq for faq in lock_faqs(faqs) if faq.status != FAQ.Status.PUBLISHED]
    for faq in drafts:
        _check_publishable(faq)
    now = timezone.now()
    for faq in drafts:
        faq.status, faq.published_at, faq.updated_at = FAQ.Status.PUBLISHED, now, now
        if actor is not None:
            faq.drafted_by = ""
        record_audit(actor=actor, action="faq.published", obj=faq, details={"number": faq.version})
    return _store_status(drafts)


@transaction.atomic
def archive_faqs(*, faqs: Iterable[FAQ], actor: User | None) -> list[FAQ]:
    """Take FAQs out of force and off the editors' list; returns those that were not archived before."""
    present = [faq for faq in lock_faqs(faqs) if faq.status != FAQ.Status.ARCHIVED]
    was_published = any(faq.status == FAQ.Status.PUBLISHED for faq in present)
    for faq in present:
        faq.status, faq.updated_at = FAQ.Status.ARCHIVED, timezone.now()
        record_audit(actor=actor, action="faq.archived", obj=faq)
    return _store_status(present, bump=was_published)


@transaction.atomic
def unarchive_faq(*, faq: FAQ, actor: User | None) -> FAQ:
    """Make an archived FAQ a draft again; any other stays as it is. Raises ApplicationError ``translation_exists``
    (409) where another FAQ has become the translation in its language."""
    faq = lock_faq(faq)
    if faq.status == FAQ.Status.ARCHIVED:
        faq.status, faq.updated_at = FAQ.Status.DRAFT, timezone.now()
        with _one_translation_a_language():
            _store_status([faq], bump=False)
        record_audit(actor=actor, action="faq.unarchived", obj=faq)
    return faq


def _store_status(faqs: list[FAQ], *, bump: bool = True) -> list[FAQ]:
    if faqs:
        FAQ.objects.bulk_update(faqs, ["status", "published_at", "updated_at", "drafted_by"], batch_size=500)
        if bump:
            bump_revision()
    return faqs


def _check_publishable(faq: FAQ) -> None:
    reason = ""
    if faq.status == FAQ.Status.ARCHIVED:
        reason = _("It is archived.")
    elif faq.valid_until and faq.valid_until <= timezone.now():
        reason = _("Its time is already over.")
    else:
        try:  # drafts that another way brought in need not be complete
            fill(faq, {"question": faq.question, "answer": faq.answer})
        except ValidationError as error:
            reason = " ".join(error.messages)
    if reason:
        detail = _("“%(question)s” cannot be published. %(reason)s") % {"question": faq.question, "reason": reason}
        raise ApplicationError("not_publishable", detail, status=409)


# --- Feedback ---------------------------------------------------------------------------------------------------------
@transaction.atomic
def give_faq_feedback(
    *, faq: FAQ, user: User | None, visitor: str = "", helpful: bool, comment: str = ""
) -> FAQFeedback:
    """Keep whether ``faq`` helped: one word per person or, without ``user``, per ``visitor``; the last one counts.

    ``visitor`` is a keyed hash of the browser session, at most 64 characters, stored as it is. Raises NotFound for an
    FAQ that they cannot see, ValidationError ``comment``, ApplicationError ``nobody`` (400) where there is neither.
    """
    shown = FAQ.objects.visible_to(user or AnonymousUser()).filter(pk=faq.pk).first()
    if shown is None:
        raise NotFound
    if user is None and not visitor:
        raise ApplicationError("nobody", _("Your browser session could not be told apart from others."))
    whose: dict[str, Any] = {"user": user, "visitor": "" if user else visitor}
    values = {
        "helpful": helpful,
        "comment": clean_text(comment).strip(),
        "version": shown.version,
        "created_at": timezone.now(),
    }
    FAQFeedback(faq=shown, **whose, **values).clean_fields(exclude=["user", "created_at"])
    # Of two first words at once, the second waits for the first and then replaces it.
    feedback, _created = FAQFeedback.objects.update_or_create(faq=shown, **whose, defaults=values)
    if not helpful:
        transaction.on_commit(partial(faq_did_not_help.send_robust, sender=FAQFeedback, feedback=feedback))
    return feedback


# --- Shared -----------------------------------------------------------------------------------------------------------
def lock_faq(faq: FAQ) -> FAQ:
    """The FAQ as stored now, locked until the transaction ends. Raises NotFound where it is gone."""
    found = lock_faqs([faq])
    if not found:
        raise NotFound
    return found[0]


def _add_version(faq: FAQ, content: dict[str, Any], actor: User | None, note: str) -> None:
    FAQVersion.objects.create(faq=faq, number=faq.version, content=content, author=actor, note=clean_text(note)[:200])


def merged(present: list[str], wanted: Sequence[str] | None, question: str) -> list[str]:
    """What the phrasings will be: those that stay in the order they have, then the new ones."""
    texts = clean_phrasings(present if wanted is None else wanted, question=question)
    return [text for text in present if text in set(texts)] + [text for text in texts if text not in set(present)]


def _hold_category(category: Category | None) -> None:
    """Keep ``category`` from being deleted before this transaction ends. Raises ValidationError where it is gone."""
    if category is None:
        return
    lock_shape(shared=True)
    if not Category.objects.filter(pk=category.pk).exists():
        raise ValidationError({"category": ValidationError(_("This category is gone."), "gone")})


@contextmanager
def _one_translation_a_language() -> Iterator[None]:
    """Say in words that a linked FAQ already has the language."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        if "faqs_one_translation_a_language" not in str(error):
            raise
        detail = _("Another translation of this FAQ already has this language.")
        raise ApplicationError("translation_exists", detail, status=409) from None
