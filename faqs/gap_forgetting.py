"""Taking questions out of the gaps: one person's, and those whose time is over."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Q

from faqs.models import Gap, GapQuestion


def forget_questions(person: Any) -> int:
    """Delete the questions of ``person`` in one gap, which then knows nothing of them; 0 where there are none left.

    They do not count any more either. Locks the gap.
    """
    gap_id = GapQuestion.objects.filter(person=person.pk).order_by("gap").values_list("gap", flat=True).first()
    if gap_id is None:
        return 0
    with transaction.atomic():
        gap = Gap.objects.select_for_update(of=("self",)).get(pk=gap_id)
        gone = _take_out(gap, Q(person=person.pk))
        if gap.pk is not None:
            gap.count = max(gap.count - gone, 1)
            gap.save(update_fields=["count"])
    return gone


def drop_questions(ids: Collection[UUID]) -> None:
    """Delete questions whose time is over. How often a gap was asked was told to editors, and stays as it was.

    In the caller's transaction. Raises OperationalError where somebody else is at work on one of the gaps: whoever
    takes a gap waits for its questions, so to wait here for a gap could be for good.
    """
    questions = Q(pk__in=ids)
    found = GapQuestion.objects.filter(questions).values("gap")
    for gap in Gap.objects.select_for_update(of=("self",), nowait=True).filter(pk__in=found).order_by("pk"):
        _take_out(gap, questions)


def drop_questions_of(people: Collection[UUID]) -> None:
    """The same with all questions of ``people``, who leave."""
    while ids := list(GapQuestion.objects.filter(person__in=people).order_by("gap").values_list("pk", flat=True)[:200]):
        drop_questions(ids)


def _take_out(gap: Gap, questions: Q) -> int:
    """Delete those of a locked gap; how many went. A gap whose last question goes is gone with it, and has no ``pk``.

    Another takes the wording of its newest other question; its vector, a mean of all of them, is made anew from the
    rest by ``refresh_gap_vectors``.
    """
    gone, _per_model = GapQuestion.objects.filter(questions, gap=gap).delete()
    # The admin's own list of actions repeats a gap's wording.
    LogEntry.objects.filter(content_type__app_label="faqs", content_type__model="gap", object_id=str(gap.pk)).delete()
    rest = gap.questions.order_by("-created_at", "pk").first()
    if rest is None:
        gap.delete()
        return gone
    gap.question, gap.vector, gap.model = rest.text, None, None
    gap.save(update_fields=["question", "vector", "model"])
    return gone
