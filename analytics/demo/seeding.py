"""Making the demo's history, removing it, and having the figures added up again."""

from collections import Counter
from datetime import datetime
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, models, transaction

from accounts.models import AuditEvent, Consent, DataRequest, LegalHold, User
from accounts.services import record_audit
from analytics import rollups
from analytics.demo import around, knowledge, moods
from analytics.demo.people import draw_people
from analytics.demo.rhythm import days_before
from analytics.demo.talks import draw_talks
from analytics.demo.writing import Writer
from analytics.models import Report
from analytics.moods.models import Mood
from analytics.quality.models import QualityItem
from conversations.models import Conversation
from conversations.purging import forget_made_up
from faqs.gap_forgetting import forget_questions
from faqs.models import FAQ, Category, FAQFeedback, Gap, GapQuestion
from faqs.state import bump_revision
from personas.made_up import remove_made_up
from personas.models import Persona

Counts = Counter[type[models.Model]]


class NotPossible(Exception):
    """Why it cannot be done, in words."""


def is_there() -> bool:
    """Whether any of the demo is there."""
    return bool(around.demo_people()) or Persona.objects.filter(pk__in=knowledge.persona_ids()).exists()


def seed(*, days: int, users: int, seed: int, now: datetime, zone: ZoneInfo) -> Counts:
    """Write a history of ``days`` days up to ``now``; how many rows of each model. The same seed and day give the same
    one, as far as the day has gone. In one transaction.

    Raises NotPossible where something else has a name of the demo's.
    """
    if taken := knowledge.taken_slugs():
        raise NotPossible(f"Something else is called {', '.join(taken)}.")
    span = days_before(now.astimezone(zone).date(), days)
    chance = Random(f"{seed}:{span[-1]}:{days}:{users}")  # noqa: S311  a made-up history is no secret
    talks = list(draw_talks(draw_people(users, span, chance), span, zone, now, chance))
    with transaction.atomic():
        faqs = knowledge.write_faqs(now)
        versions = knowledge.write_personas(span, zone)
        people = around.write_people(talks, chance)
        written = Writer(people, versions, faqs, now, chance).write(talks)
        known = {talk.person.username: talk.person for talk in talks}
        written[Consent] = around.write_consents([(known[name], user) for name, user in people.items()])
        written[DataRequest] = around.write_requests(people.values(), chance)
        written[FAQFeedback] = around.write_faq_feedback(people.values(), faqs, chance)
        written[GapQuestion] = around.write_gaps(talks, people, faqs, chance)
        written[Mood] = moods.write_weeks(talks, people, now, zone)
        written |= Counter({User: len(people), Persona: len(knowledge.persona_ids()), FAQ: len(faqs)})
        record_audit(actor=None, action="demo.seeded", obj=Conversation, details={"people": len(people)})
        bump_revision()
    rollups.rebuild(span[0])
    return written


def remove() -> tuple[int, list[str]]:
    """Remove all of the demo, and nothing else: how many people went, and the personas that stay, archived, because
    others have talked with them. In one transaction.

    Raises NotPossible where one of its people is under a legal hold.
    """
    people = around.demo_people()
    if LegalHold.objects.filter(person__in=people).exists():
        raise NotPossible("A demo person is under a legal hold: lift it first.")
    with transaction.atomic():
        _remove_reports()
        moods.remove_weeks()
        _remove_gaps(people)
        QualityItem.objects.filter(message__owner__in=people).delete()  # judged or not: these people never were
        forget_made_up(people)
        User.objects.filter(pk__in=people).delete()
        FAQ.objects.filter(pk__in=knowledge.faq_ids()).delete()
        _remove_categories()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        kept = remove_made_up(knowledge.persona_ids())
        record_audit(actor=None, action="demo.removed", obj=Conversation, details={"people": len(people)})
        bump_revision()
    rollups.rebuild(None, lower=True)  # from the beginning: its days may be before anything else's
    return len(people), kept


def _remove_reports() -> None:
    """Those that were made while the demo was there: they are made anew, of what there is without it."""
    seeded = AuditEvent.objects.filter(action="demo.seeded").order_by("-pk").values_list("at", flat=True).first()
    if seeded is not None:
        Report.objects.filter(made_at__gte=seeded).delete()


def _remove_gaps(people: list[UUID]) -> None:
    """The demo's gaps but for what others asked; and what demo people asked of others' gaps."""
    GapQuestion.objects.filter(person__in=people, gap__in=around.gap_ids()).delete()
    for gap in Gap.objects.filter(pk__in=around.gap_ids()).annotate(left=models.Count("questions")):
        if gap.left:
            Gap.objects.filter(pk=gap.pk).update(count=gap.left)
        else:
            gap.delete()
    asked = GapQuestion.objects.filter(person__in=people).values("person")
    for person in User.objects.filter(pk__in=asked):
        while forget_questions(person):
            pass


def _remove_categories() -> None:
    """Those in which nothing of anybody else's stands."""
    for pks in (knowledge.CATEGORY_IDS, (knowledge.ROOT_ID,)):
        Category.objects.filter(pk__in=pks, faqs=None, children=None).delete()
