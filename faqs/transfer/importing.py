"""An import: all of a file's rows, or none."""

from collections.abc import Iterable

from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import record_audit
from chatbot_project.lib.errors import ApplicationError
from faqs.locks import lock_shape
from faqs.models import FAQ, Category, FAQVersion
from faqs.phrasings import refresh_search, set_phrasings
from faqs.state import bump_revision, knowledge_state
from faqs.transfer.files import ImportFile, read_file
from faqs.transfer.planning import BATCH, Plan, make_plan
from faqs.transfer.report import ImportReport, Outcome
from faqs.transfer.targets import Target

_STORED = [
    "category", "question", "answer", "language", "tags", "status", "visibility", "valid_from", "valid_until",
    "translation_group", "version", "drafted_by", "updated_at", "published_at",
]  # fmt: skip

_JOIN_GROUPS = """
    UPDATE faqs_faq SET translation_group = move.final FROM unnest(%s::uuid[], %s::uuid[]) AS move (old, final)
    WHERE translation_group = move.old
"""


def import_faqs(
    *,
    data: bytes,
    actor: User | None,
    dry_run: bool = False,
    publish: bool = False,
    create_categories: bool = False,
) -> ImportReport:
    """Create and change FAQs as a CSV or JSON file says, and report on each row.

    Where a row is refused, or for a ``dry_run``, nothing is changed. A row means the FAQ of its ``id``, without one the
    FAQ that asks the same in its language; where there is none, it is created. ``publish`` puts rows in force that name
    no status; ``create_categories`` makes categories that are not there. FAQs that the file does not name stay.

    Raises BadImportFile where the file cannot be read, ApplicationError ``import_conflict`` (409) where somebody else
    changed the same FAQs in this very moment.
    """
    file = read_file(data)
    if dry_run:
        return _report(make_plan(file, publish=publish, may_grow=create_categories, lock=False), applied=False)
    try:
        return _import(file, actor, publish=publish, may_grow=create_categories)
    except IntegrityError:
        detail = _("Somebody else changed the same FAQs in this moment. Try again.")
        raise ApplicationError("import_conflict", detail, status=409) from None


@transaction.atomic
def _import(file: ImportFile, actor: User | None, *, publish: bool, may_grow: bool) -> ImportReport:
    lock_shape()
    plan = make_plan(file, publish=publish, may_grow=may_grow, lock=True)
    applied = not plan.refused
    if applied:
        _apply(plan, actor)
    return _report(plan, applied=applied)


def _report(plan: Plan, *, applied: bool) -> ImportReport:
    return ImportReport(rows=plan.report(), categories=plan.tree.new_paths(), applied=applied)


def _apply(plan: Plan, actor: User | None) -> None:
    changed = [target for target in plan.targets.values() if target.changed]
    Category.objects.bulk_create(plan.tree.new)  # parents come first
    _move_groups(plan, changed)
    _store(changed, actor)
    rewritten = [target for target in changed if target.says_otherwise]
    set_phrasings([(target.faq, target.content["phrasings"]) for target in rewritten])
    refresh_search(target.faq for target in rewritten)
    FAQVersion.objects.bulk_create((_version(target, actor) for target in rewritten), batch_size=BATCH)
    if not changed and not plan.tree.new:
        return
    counts = {str(outcome): count for outcome, count in _report(plan, applied=True).counts.items()}
    details = counts | {"categories": len(plan.tree.new)}
    details.pop(Outcome.REFUSED)
    record_audit(actor=actor, action="faqs.imported", obj=knowledge_state(), details=details)
    if any(target.was_published or target.faq.status == FAQ.Status.PUBLISHED for target in changed):
        bump_revision()


def _move_groups(plan: Plan, changed: Iterable[Target]) -> None:
    """Put groups together, and free the places in them that the rows are about to take: two FAQs that swap their
    languages would else be in each other's way for a moment."""
    stored = [target for target in plan.targets.values() if not target.is_new]
    moved = {group for target in stored if (group := target.group_before) in plan.groups.moves}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE faqs_faq SET translation_group = gen_random_uuid() WHERE id = ANY(%s)",
            [[target.faq.pk for target in changed if not target.is_new]],
        )
        cursor.execute(_JOIN_GROUPS, [list(moved), [plan.groups.final(group) for group in moved]])


def _store(targets: Iterable[Target], actor: User | None) -> None:
    now = timezone.now()
    faqs: list[FAQ] = []
    for target in targets:
        faq = target.faq
        faq.updated_at = now
        faq.version += target.says_otherwise and not target.is_new
        if faq.status == FAQ.Status.PUBLISHED and not target.was_published:
            faq.published_at = now
            faq.drafted_by = "" if actor else faq.drafted_by
        faqs.append(faq)
    FAQ.objects.bulk_create(faqs, batch_size=BATCH, update_conflicts=True, unique_fields=["id"], update_fields=_STORED)


def _version(target: Target, actor: User | None) -> FAQVersion:
    return FAQVersion(
        faq=target.faq, number=target.faq.version, content=target.content, author=actor, note=_("Imported")
    )
