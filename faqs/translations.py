"""Which FAQs are translations of one another: those of one ``translation_group``, at most one of each language."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.ids import uuid7
from faqs.locks import lock_faqs, lock_shape
from faqs.models import FAQ
from faqs.models.catalog import FAQQuerySet
from faqs.services import lock_faq
from faqs.state import bump_revision


def translations_of(faq: FAQ) -> FAQQuerySet:
    """The other FAQs of its group that are not archived, whoever may see them."""
    group = FAQ.objects.filter(translation_group=faq.translation_group)
    return group.exclude(pk=faq.pk).exclude(status=FAQ.Status.ARCHIVED).order_by("language", "id")


@transaction.atomic
def link_translation(*, faq: FAQ, other: FAQ, actor: User | None) -> FAQ:
    """Make ``faq`` and ``other`` translations of one another, each with those that it has already; returns ``faq``.

    Raises ApplicationError ``translation_exists`` (409) where both sides have a language.
    """
    lock_shape()  # nobody joins or leaves a group while we look
    groups = FAQ.objects.filter(pk__in=[faq.pk, other.pk]).values_list("translation_group", flat=True)
    members = {each.pk: each for each in lock_faqs(FAQ.objects.filter(translation_group__in=list(groups)))}
    if faq.pk not in members or other.pk not in members:
        raise NotFound
    faq, other = members[faq.pk], members[other.pk]
    if faq.translation_group == other.translation_group:
        return faq
    languages = [each.language for each in members.values() if each.status != FAQ.Status.ARCHIVED]
    if len(languages) != len(set(languages)):
        detail = _("Both have a translation in the same language.")
        raise ApplicationError("translation_exists", detail, status=409)
    FAQ.objects.filter(translation_group=other.translation_group).update(translation_group=faq.translation_group)
    record_audit(actor=actor, action="faq.translation_linked", obj=faq, details={"other": str(other.pk)})
    _tell([faq, other])
    return faq


@transaction.atomic
def unlink_translation(*, faq: FAQ, actor: User | None) -> FAQ:
    """Take ``faq`` out of its group; the others stay together."""
    lock_shape()
    faq = lock_faq(faq)
    if FAQ.objects.filter(translation_group=faq.translation_group).exclude(pk=faq.pk).exists():
        faq.translation_group = uuid7()
        faq.save(update_fields=["translation_group"])
        record_audit(actor=actor, action="faq.translation_unlinked", obj=faq)
        _tell([faq])
    return faq


def _tell(faqs: list[FAQ]) -> None:
    if any(faq.status == FAQ.Status.PUBLISHED for faq in faqs):
        bump_revision()
