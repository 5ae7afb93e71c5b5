"""What an import will do, before it does anything: each row met with what there is. Reads, never writes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from chatbot_project.lib.text import shorten
from faqs.content import content_of, fill
from faqs.locks import lock_faqs
from faqs.models import FAQ, Category, Phrasing
from faqs.services import merged
from faqs.texts import one_line
from faqs.transfer.files import ImportFile
from faqs.transfer.groups import Groups
from faqs.transfer.report import Outcome, RowReport
from faqs.transfer.rows import Wish, read_row, reason
from faqs.transfer.targets import Target
from faqs.transfer.tree import Tree

Key = tuple[str, str]
BATCH = 5000


@dataclass(slots=True)
class Plan:
    """``targets`` and ``refused`` are by line."""

    tree: Tree
    groups: Groups
    targets: dict[int, Target] = field(default_factory=dict)
    refused: dict[int, RowReport] = field(default_factory=dict)

    def refuse(self, line: int, why: str, question: str = "") -> None:
        target = self.targets.pop(line, None)
        shown = shorten(target.faq.question if target else question, 120)
        self.refused[line] = RowReport(line, Outcome.REFUSED, shown, reason=why)

    def report(self) -> list[RowReport]:
        return [self.refused.get(line) or _told(self.targets[line]) for line in sorted({*self.refused, *self.targets})]


def make_plan(file: ImportFile, *, publish: bool, may_grow: bool, lock: bool) -> Plan:
    """Meet every row of ``file`` with the catalog. With ``lock``, the FAQs that it names are locked from now on.

    ``publish`` is for rows that name no status. Raises BadImportFile for categories that make no tree.
    """
    plan = Plan(Tree(Category.objects.all(), may_grow=may_grow), Groups())
    plan.tree.add(file.categories)
    wishes: list[Wish] = []
    for row in file.rows:
        try:
            wishes.append(read_row(row))
        except ValidationError as error:
            plan.refuse(row.line, reason(error), one_line(str(row.cells.get("question", ""))[:500]))
    catalog = _Catalog(wishes, lock=lock)
    for wish in wishes:
        try:
            plan.targets[wish.line] = _target(wish, catalog, plan.tree, publish=publish)
        except ValidationError as error:
            plan.refuse(wish.line, reason(error), one_line(wish.fields["question"][:500]))
    _refuse_duplicates(plan)
    plan.groups.join(plan.targets.values(), plan.refuse)
    return plan


class _Catalog:
    """The FAQs that the rows may mean, in a handful of queries."""

    def __init__(self, wishes: Sequence[Wish], *, lock: bool) -> None:
        self._by_key: dict[Key, list[UUID]] = defaultdict(list)
        self._archived: dict[Key, list[UUID]] = defaultdict(list)
        wanted = {wish.id for wish in wishes if wish.id}
        if any(wish.id is None for wish in wishes):
            keys = {_key(wish) for wish in wishes if wish.id is None}
            for pk, language, question, status in FAQ.objects.values_list("pk", "language", "question", "status"):
                key = (language, question.casefold())
                if key in keys:
                    (self._archived if status == FAQ.Status.ARCHIVED else self._by_key)[key].append(pk)
                    wanted.add(pk)
        self._faqs: dict[UUID, FAQ] = {}
        self._phrasings: dict[UUID, list[str]] = defaultdict(list)
        for ids in _batches(sorted(wanted)):
            faqs = lock_faqs(FAQ(pk=pk) for pk in ids) if lock else FAQ.objects.filter(pk__in=ids)
            self._faqs |= {faq.pk: faq for faq in faqs}
            rows = Phrasing.objects.filter(faq__in=ids, kind=Phrasing.Kind.PHRASING).order_by("created_at", "id")
            for faq_id, text in rows.values_list("faq", "text"):
                self._phrasings[faq_id].append(text)

    def find(self, wish: Wish) -> tuple[FAQ | None, list[str]]:
        """The FAQ that ``wish`` is about and its phrasings: by id, else the one that asks the same in the same
        language. Raises ValidationError where that could be several."""
        pk = wish.id
        if pk is None:
            # An archived FAQ does not come back by somebody asking the same anew.
            found = self._by_key.get(_key(wish)) or (
                self._archived.get(_key(wish)) if wish.status == FAQ.Status.ARCHIVED else None
            )
            if found and len(found) > 1:
                raise ValidationError({"id": _("Several FAQs ask this in this language: give the id.")})
            pk = found[0] if found else None
        faq = self._faqs.get(pk) if pk else None
        return faq, self._phrasings[faq.pk] if faq else []


def _target(wish: Wish, catalog: _Catalog, tree: Tree, *, publish: bool) -> Target:
    faq, phrasings = catalog.find(wish)
    before = content_of(faq, phrasings) if faq else None
    status = FAQ.Status(faq.status) if faq else None
    if faq is None:
        faq = FAQ(pk=wish.id) if wish.id else FAQ()
    fields = dict(wish.fields)
    if wish.category is not None:
        try:
            fields["category"] = tree.find(wish.category)
        except ValidationError as error:
            raise ValidationError({"category": error}) from None
    fill(faq, fields)
    texts = merged(phrasings, wish.phrasings, faq.question)
    faq.status = wish.status or (_published(faq) if publish else faq.status)
    content = content_of(faq, texts)
    changed = [name for name, value in content.items() if before is None or before[name] != value]
    if status != faq.status:
        changed.append("status")
    was_published = status == FAQ.Status.PUBLISHED
    # A backup of what is over comes back as it was; nothing else is published for the past.
    is_put_in_force = faq.status == FAQ.Status.PUBLISHED and not was_published and (before or not wish.status)
    if is_put_in_force and faq.valid_until and faq.valid_until <= timezone.now():
        raise ValidationError({"valid_until": _("Its time is already over.")})
    return Target(wish, faq, content, before, was_published, faq.translation_group, changed)


def _published(faq: FAQ) -> str:
    return FAQ.Status.PUBLISHED if faq.status == FAQ.Status.DRAFT else faq.status


def _refuse_duplicates(plan: Plan) -> None:
    """Of rows about one FAQ, only the first stands. FAQs that ask the same, for other readers, each need an id."""
    by_id: dict[UUID, int] = {}
    by_key: dict[Key, tuple[int, bool]] = {}
    for line, target in sorted(plan.targets.items()):
        key = (target.faq.language, target.faq.question.casefold())
        first, has_id = by_key.setdefault(key, (line, target.wish.id is not None))
        if target.faq.pk in by_id:
            plan.refuse(line, _("This is the same FAQ as line %d.") % by_id[target.faq.pk])
        elif first != line and not (has_id and target.wish.id):
            plan.refuse(line, _("This asks the same as line %d.") % first)
        else:
            by_id[target.faq.pk] = line


def _told(target: Target) -> RowReport:
    outcome = Outcome.CREATED if target.is_new else Outcome.CHANGED if target.changed else Outcome.UNCHANGED
    fields = () if target.is_new else tuple(target.changed)
    faq = target.wish.id if target.is_new else target.faq.pk
    return RowReport(target.line, outcome, shorten(target.faq.question, 120), faq, fields)


def _key(wish: Wish) -> Key:
    language = one_line(str(wish.fields.get("language", "en"))).lower().replace("_", "-")
    return language, one_line(wish.fields["question"]).casefold()


def _batches(ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
