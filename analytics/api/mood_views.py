"""Mood and topic of conversations in numbers, each of five people or more: the same as the page's."""

from typing import Any

from django.conf import settings
from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from analytics.api.asking import DAYS_DESCRIPTION, FORMAT, read_filters
from analytics.api.days import FROM, TO, read_period
from analytics.api.figure_serializers import AnySerializer, DaysSerializer
from analytics.api.figure_views import STAFF, FiguresAPIView, answers
from analytics.moods.figures import Week, numbers_of, weeks_of
from analytics.moods.sentiment import Sentiment
from analytics.period import Period
from analytics.rollups import reporting_zone
from faqs.models import Category
from personas.models import Persona

PERSONA = OpenApiParameter("persona", str, description="A persona's slug.")
COLUMNS = ("week", "persona", "topic", "sentiment", "conversations")


class MoodSerializer(AnySerializer):
    """Conversations of a week with one persona on one topic that sounded alike."""

    week = serializers.DateField(help_text="Its first day.")
    persona = serializers.CharField(allow_null=True, help_text="Slug; null for several together.")
    topic = serializers.CharField(allow_null=True, help_text="A category's slug; null for other topics.")
    sentiment = serializers.ChoiceField(choices=Sentiment.choices)
    conversations = serializers.IntegerField()


class MoodWeekSerializer(AnySerializer):
    start = serializers.DateField()
    is_sample = serializers.BooleanField(help_text="There were more conversations than are looked at.")
    is_demo = serializers.BooleanField(help_text="Made-up conversations are counted too.")


class MoodsSerializer(DaysSerializer):
    timezone = serializers.CharField(help_text="Whose days and weeks these are.")
    is_on = serializers.BooleanField(help_text="Whether weeks are counted by now.")
    weeks = MoodWeekSerializer(many=True, help_text="Those that were counted.")
    items = MoodSerializer(many=True)


EXAMPLE = OpenApiExample(
    "a week",
    {
        "from": "2026-03-02",
        "to": "2026-03-08",
        "timezone": "Europe/Berlin",
        "is_on": True,
        "weeks": [{"start": "2026-03-02", "is_sample": False, "is_demo": False}],
        "items": [
            {
                "week": "2026-03-02",
                "persona": "support",
                "topic": "billing",
                "sentiment": "negative",
                "conversations": 12,
            },
            {"week": "2026-03-02", "persona": None, "topic": None, "sentiment": "unknown", "conversations": 31},
        ],
    },
    response_only=True,
    media_type="application/json",
)


class MoodsView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_moods",
        tags=["analytics"],
        summary="Mood and topics of conversations",
        description="Of the weeks that the days touch, of people who agreed, and only where the operator counts them. "
        "Each number is of five people or more; smaller groups are part of wider ones or left out. "
        f"{DAYS_DESCRIPTION} {STAFF}",
        parameters=[PERSONA, FROM, TO, FORMAT],
        responses=answers(MoodsSerializer, EXAMPLE),
    )
    def get(self, request: Request) -> HttpResponseBase:
        period = read_period(request.query_params, reporting_zone())
        query = {name: value for name, value in request.query_params.items() if name == "persona"}
        items = list(_items(period, read_filters(query).persona))
        body = {
            "from": period.first,
            "to": period.last,
            "timezone": period.zone.key,
            "is_on": settings.CONVERSATION_INSIGHTS,
            "weeks": [_week(week, period) for week in weeks_of(period)],
            "items": items,
        }
        return self.answer(request, MoodsSerializer, body, name="moods", columns=COLUMNS, rows=items)


def _week(week: Week, period: Period) -> dict[str, Any]:
    return week._asdict() | {"start": week.start.astimezone(period.zone).date()}


def _items(period: Period, persona: Any) -> list[dict[str, Any]]:
    """What was removed since is named by its id."""
    rows = numbers_of(period, persona)
    personas = dict(Persona.objects.filter(pk__in={row[1] for row in rows}).values_list("pk", "slug"))
    topics = dict(Category.objects.filter(pk__in={row[2] for row in rows}).values_list("pk", "slug"))
    return [
        {
            "week": start.astimezone(period.zone).date(),
            "persona": of and personas.get(of, str(of)),
            "topic": topic and topics.get(topic, str(topic)),
            "sentiment": sentiment,
            "conversations": number,
        }
        for start, of, topic, sentiment, number in rows
    ]
