"""Analytics hold nothing of a person: numbers alone."""

from accounts.privacy.registry import Nothing, declare
from analytics.models import Cohort, FAQUsage, Occurrence, People, Price, Report, RollupState, StaleHour, Usage
from analytics.moods.models import Mood, MoodWeek

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
    Nothing(MoodWeek, "Which weeks were counted."),
    Nothing(
        Mood,
        "How many conversations of a week were on a topic and how they sounded: each number of five people or more, "
        "of those alone who agreed (purpose `insights`). Counted on this machine once the week is over. Nothing is "
        "noted on conversations or people, so a withdrawal, a pause or an erasure has nothing to take out: from then "
        "on nothing of theirs is counted, of the running week either.",
    ),
)
