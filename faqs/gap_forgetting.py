"""Taking one person's questions out of the gaps."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db import transaction

from faqs.models import Gap, GapQuestion


def forget_questions(person: Any) -> int:
    """Delete the questions of ``person`` in one gap, which then knows nothing of them; 0 where there are none left.

    A gap whose last question goes is gone with it. Another takes the wording of its newest other question; its vector,
    a mean of all of them, is made anew from the rest by ``refresh_gap_vectors``. Locks the gap.
    """
    gap_id = GapQuestion.objects.filter(person=person.pk).order_by("gap").values_list("gap", flat=True).first()
    if gap_id is None:
        return 0
    with transaction.atomic():
        gap = Gap.objects.select_for_update(of=("self",)).get(pk=gap_id)
        gone, _per_model = GapQuestion.objects.filter(gap=gap, person=person.pk).delete()
        # The admin's own list of actions repeats a gap's wording.
        LogEntry.objects.filter(
            content_type__app_label="faqs", content_type__model="gap", object_id=str(gap.pk)
        ).delete()
        rest = gap.questions.order_by("-created_at", "pk").first()
        if rest is None:
            gap.delete()
            return gone
        gap.count = max(gap.count - gone, 1)
        gap.question, gap.vector, gap.model = rest.text, None, None
        gap.save(update_fields=["count", "question", "vector", "model"])
    return gone
