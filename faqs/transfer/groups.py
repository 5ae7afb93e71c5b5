"""Which FAQs an import makes translations of one another. Reads, never writes."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from django.utils.translation import gettext as _

from faqs.models import FAQ
from faqs.transfer.rows import as_id
from faqs.transfer.targets import Target

Refuse = Callable[[int, str], None]


class Groups:
    """``moves`` says which group becomes part of which other one."""

    def __init__(self) -> None:
        self.moves: dict[UUID, UUID] = {}

    def final(self, group: UUID) -> UUID:
        """The group that ``group`` is part of in the end."""
        while group in self.moves:
            group = self.moves[group]
        return group

    def join(self, targets: Iterable[Target], refuse: Refuse) -> None:
        """Put the FAQs together that the rows name as translations of one another; refuse the rows that name none, and
        those that would give a group a language twice."""
        present = list(targets)
        known = _groups_by_id(present)
        by_question: dict[str, list[Target]] = defaultdict(list)
        for target in present:
            by_question[target.faq.question.casefold()].append(target)
        for target in present:
            if not target.wish.translation_of:
                continue
            found = _referred(target, known, by_question)
            if found is None:
                refuse(target.line, _("translation_of: There is no such FAQ, or more than one."))
            elif (mine := self.final(target.faq.translation_group)) != (other := self.final(found)):
                self.moves[mine] = other
                target.changed.append("translation_of")
        self._refuse_second_languages(present, refuse)
        for target in present:
            target.faq.translation_group = self.final(target.faq.translation_group)

    def _refuse_second_languages(self, targets: list[Target], refuse: Refuse) -> None:
        taken: dict[tuple[UUID, str], int] = defaultdict(int)
        ours = {target.faq.pk for target in targets}
        touched = {target.faq.translation_group for target in targets if target.changed} | self.moves.keys()
        ends = {self.final(group) for group in touched}
        sources = {*touched, *ends, *(group for group in self.moves if self.final(group) in ends)}
        others = FAQ.objects.filter(translation_group__in=sources).exclude(status=FAQ.Status.ARCHIVED)
        for pk, group, language in others.values_list("pk", "translation_group", "language"):
            if pk not in ours:
                taken[self.final(group), language] += 1
        crowded = {group for (group, _language), count in taken.items() if count > 1}
        for target in targets:
            group = self.final(target.faq.translation_group)
            if target.faq.status != FAQ.Status.ARCHIVED:
                taken[group, target.faq.language] += 1
                if taken[group, target.faq.language] > 1:
                    refuse(target.line, _("Another translation of this FAQ already has this language."))
                    continue
            if group in crowded and target.wish.translation_of:
                refuse(target.line, _("Both have a translation in the same language."))


def _groups_by_id(targets: list[Target]) -> Mapping[UUID, UUID]:
    """The group of each FAQ of the file, and of each that a row refers to."""
    known = {target.faq.pk: target.faq.translation_group for target in targets}
    references = {pk for target in targets if (pk := as_id(target.wish.translation_of))}
    stored = FAQ.objects.filter(pk__in=references - known.keys())
    return known | dict(stored.values_list("pk", "translation_group"))


def _referred(target: Target, known: Mapping[UUID, UUID], by_question: Mapping[str, list[Target]]) -> UUID | None:
    """The group of the FAQ that the row names by id or, within the file, by question; ``None`` where that is not one
    other FAQ."""
    reference = target.wish.translation_of
    pk = as_id(reference)
    if pk is not None:
        return None if pk == target.faq.pk else known.get(pk)
    found = [other for other in by_question.get(reference.casefold(), []) if other is not target]
    return found[0].faq.translation_group if len(found) == 1 else None
