"""What approved answers did, as the pages of figures list them."""

from typing import Any, Final

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from analytics.api.asking import DAYS_DESCRIPTION, FEW_DESCRIPTION, FORMAT, read_choice, wants_csv
from analytics.api.days import FROM, TO, read_period
from analytics.api.figure_serializers import AnySerializer, NumberField, SpanSerializer
from analytics.api.figure_views import STAFF, FiguresAPIView, answers, span
from analytics.faq_figures import FAQLine, Sort, State, list_faqs
from analytics.metrics import share
from analytics.rollups import reporting_zone
from analytics.suppression import Suppressed, shown_uses
from chatbot_project.lib.api.openapi import PAGE_PARAMETERS
from chatbot_project.lib.api.paging import decode_cursor, encode_cursor, read_limit
from faqs.models import FAQ

SALT: Final = "analytics.faqs"
FIGURES = ("hits", "direct", "helpful", "not_helpful", "helpfulness")
COLUMNS = ("id", "question", "language", "status", "updated_at", "last_used", "state", *FIGURES, "suppressed")
SHOW = OpenApiParameter(
    "show",
    str,
    enum=[each.value for each in Sort],
    default=Sort.MOST_USED.value,
    description="Which FAQs, and which first. `stale`: used, and last changed more than half a year ago.",
)


class FAQFiguresSerializer(AnySerializer):
    """An FAQ, and the replies of these days that cited it."""

    id = serializers.UUIDField()
    question = serializers.CharField()
    language = serializers.CharField()
    status = serializers.ChoiceField(choices=FAQ.Status.choices)
    updated_at = serializers.DateTimeField()
    last_used = serializers.DateField(allow_null=True, help_text="On any day; null for never.")
    state = serializers.ChoiceField(choices=[each.value for each in State], allow_blank=True)
    hits = serializers.IntegerField(allow_null=True, help_text="Replies that cited it.")
    direct = serializers.IntegerField(allow_null=True, help_text="Of them, those that are its answer as it is.")
    helpful = serializers.IntegerField(allow_null=True, help_text="Thumbs up of these replies.")
    not_helpful = serializers.IntegerField(allow_null=True)
    helpfulness = NumberField(allow_null=True, help_text="Thumbs up / thumbs.")
    suppressed = serializers.BooleanField(help_text="It was used, and by fewer than five replies.")


class FAQFiguresListSerializer(SpanSerializer):
    items = FAQFiguresSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Leads to the next page; null on the last one.")


EXAMPLE = OpenApiExample(
    "one of them",
    {
        "from": "2026-03-02",
        "to": "2026-03-08",
        "timezone": "Europe/Berlin",
        "counted_until": "2026-03-09T08:10:00Z",
        "items": [
            {
                "id": "01935f6e-7c1a-7e63-9f1e-3b1f4f3e2d10",
                "question": "How do I reset my password?",
                "language": "en",
                "status": "published",
                "updated_at": "2025-06-01T09:30:00Z",
                "last_used": "2026-03-08",
                "state": "stale",
                "hits": 40,
                "direct": 31,
                "helpful": 9,
                "not_helpful": 1,
                "helpfulness": 0.9,
                "suppressed": False,
            }
        ],
        "next": None,
    },
    response_only=True,
    media_type="application/json",
)


class FAQsView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_faqs",
        tags=["analytics"],
        summary="What approved answers did",
        description=f"{DAYS_DESCRIPTION} {FEW_DESCRIPTION} A CSV has all of the list and no pages. {STAFF}",
        parameters=[SHOW, FROM, TO, *PAGE_PARAMETERS, FORMAT],
        responses=answers(FAQFiguresListSerializer, EXAMPLE),
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = request.query_params
        period, limit = read_period(query, reporting_zone()), read_limit(query)
        sort = Sort(read_choice(query, "show", [each.value for each in Sort]))
        salt = f"{SALT}:{sort}"
        first = _first(query.get("cursor"), salt)
        if wants_csv(request):
            lines, following = list_faqs(period, sort), None
        else:
            lines = list_faqs(period, sort, first=first, most=limit + 1)
            following = encode_cursor([first + limit], salt) if len(lines) > limit else None
            lines = lines[:limit]
        items = [_item(line) for line in lines]
        return self.answer(
            request,
            FAQFiguresListSerializer,
            {**span(period), "items": items, "next": following},
            name=f"faqs-{sort}",
            columns=COLUMNS,
            rows=items,
        )


def _first(cursor: str | None, salt: str) -> int:
    """The place of a page's first line in the list. Raises InvalidInput (400)."""
    return int(decode_cursor(cursor, salt, 1)[0]) if cursor else 0


def _item(line: FAQLine) -> dict[str, Any]:
    totals = shown_uses(line.totals)
    known = {
        "id": line.id,
        "question": line.question,
        "language": line.language,
        "status": line.status,
        "updated_at": line.updated_at,
        "last_used": line.last_used.astimezone(reporting_zone()).date() if line.last_used else None,
        "state": line.state.value,
        "suppressed": isinstance(totals, Suppressed),
    }
    if isinstance(totals, Suppressed):
        return {**known, **dict.fromkeys(FIGURES)}
    return {
        **known,
        "hits": totals.cited,
        "direct": totals.direct,
        "helpful": totals.helpful,
        "not_helpful": totals.not_helpful,
        "helpfulness": share(totals.helpful, totals.helpful + totals.not_helpful),
    }
