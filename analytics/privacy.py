"""What analytics hold of people: who gets reports; of reviews, quality/privacy.py. All else is numbers."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_noop

from accounts.privacy.registry import Basis, DataClass, Erasure, Nothing, PersonalData, RedisKeys, Retention, declare
from analytics.models import (
    Cohort,
    Delivery,
    FAQUsage,
    Occurrence,
    People,
    Price,
    Report,
    RollupState,
    StaleHour,
    Subscription,
    Usage,
)
from analytics.moods.models import Mood, MoodWeek


def _of(person: Any, prefix: str = "") -> Q:
    """Their account's, and those to their address."""
    theirs = Q(**{f"{prefix}user": person.pk})
    return theirs | Q(**{f"{prefix}address": person.email}) if person.email else theirs


declare(
    Nothing(Usage, "Sums by hour, day, week and month."),
    Nothing(FAQUsage, "Sums by FAQ and day."),
    Nothing(People, "How many people there were, not who."),
    Nothing(Cohort, "How many of the people who began at one time came back, not who."),
    Nothing(Occurrence, "How often something happened on a day."),
    Nothing(StaleHour, "Hours whose figures are to be added up again."),
    Nothing(RollupState, "How far figures are added up."),
    Nothing(Report, "Figures of a day, week or month: numbers, with names of personas and approved questions."),
    Nothing(Price, "What models cost."),
    Nothing(MoodWeek, "Which weeks were counted."),
    Nothing(
        Mood,
        "How many conversations of a week were on a topic and how they sounded: each number of five people or more, "
        "of those alone who agreed (purpose `insights`). Counted on this machine once the week is over. Nothing is "
        "noted on conversations or people, so a withdrawal, a pause or an erasure has nothing to take out: from then "
        "on nothing of theirs is counted, of the running week either.",
    ),
    RedisKeys(":1:analytics:part:*", "Parts of the pages of figures", "", "a quarter of an hour"),
    RedisKeys(":1:analytics:asked", "Which pages of figures were looked at, not by whom", "", "a week"),
    PersonalData(
        model=Subscription,
        about=gettext_noop(
            "Reports by mail: which, in which language, since when; the address of somebody without an account"
        ),
        data_class=DataClass.ACCOUNT,
        purpose="Mailing figures of the service to those who run it.",
        basis=Basis.INTEREST,
        of=_of,
        erasure=Erasure.DELETE,
        erasure_note="Deleted, also one to the address alone.",
        retention=Retention(
            "Until an admin removes it, or its address is taken out of REPORT_MAIL; an account's as long as it."
        ),
        section="report_subscriptions",
        exported=("id", "address", "grain", "language", "pdf", "csv", "is_active", "created_at"),
        written=("address",),
    ),
    PersonalData(
        model=Delivery,
        about=gettext_noop("Which reports were mailed, when"),
        data_class=DataClass.RECORD,
        purpose="Mailing each report once.",
        basis=Basis.INTEREST,
        of=lambda person: _of(person, "subscription__"),
        erasure=Erasure.DELETE,
        erasure_note="Deleted with the subscription.",
        retention=Retention("As long as the subscription."),
        section="report_deliveries",
        exported=("state", "ended_at"),
        derived={"report": lambda delivery: str(delivery.report)},
    ),
)
