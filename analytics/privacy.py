"""Analytics hold nothing of a person: numbers alone."""

from accounts.privacy.registry import Nothing, declare
from analytics.models import Cohort, FAQUsage, Occurrence, People, Price, Report, RollupState, StaleHour, Usage

declare(
    Nothing(Usage, "Sums by hour, day and month."),
    Nothing(FAQUsage, "Sums by FAQ and day."),
    Nothing(People, "How many people there were, not who."),
    Nothing(Cohort, "How many of the people who began at one time came back, not who."),
    Nothing(Occurrence, "How often something happened on a day."),
    Nothing(StaleHour, "Hours whose figures are to be added up again."),
    Nothing(RollupState, "How far figures are added up."),
    Nothing(Report, "Figures of a week: numbers alone."),
    Nothing(Price, "What models cost."),
)
