"""Examples of answers, for the API's documentation."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_SPAN: dict[str, Any] = {
    "from": "2026-03-02",
    "to": "2026-03-08",
    "timezone": "Europe/Berlin",
    "counted_until": "2026-03-09T08:10:00Z",
}
METRICS = OpenApiExample(
    "one of them",
    {
        "timezone": "Europe/Berlin",
        "counted_until": "2026-03-09T08:10:00Z",
        "currency": "EUR",
        "items": [
            {
                "name": "completed_rate",
                "label": "completed",
                "group": "endings",
                "unit": "share",
                "formula": "completed replies / replies",
                "source": "rollups of questions and replies",
                "better": "more",
                "by_model": True,
                "whole": False,
            }
        ],
    },
    response_only=True,
    media_type="application/json",
)
FIGURES = OpenApiExample(
    "a week beside the one before",
    {
        **_SPAN,
        "currency": "EUR",
        "before": {"from": "2026-02-23", "to": "2026-03-01"},
        "items": [
            {
                "name": "questions", "unit": "number",
                "value": 412, "suppressed": False, "before": 380, "before_suppressed": False,
            },
            {
                "name": "active_weekly", "unit": "number",
                "value": None, "suppressed": True, "before": 6, "before_suppressed": False,
            },
        ],
    },
    response_only=True,
    media_type="application/json",
)  # fmt: skip
SERIES = OpenApiExample(
    "by persona",
    {
        **_SPAN,
        "by": "persona",
        "metrics": ["questions", "satisfaction"],
        "currency": "EUR",
        "items": [
            {
                "key": "support",
                "label": "Support Assistant",
                "suppressed": False,
                "values": {"questions": 300, "satisfaction": 0.875},
            },
            {
                "key": "pilot",
                "label": "Pilot",
                "suppressed": True,
                "values": {"questions": None, "satisfaction": None},
            },
        ],
    },
    response_only=True,
    media_type="application/json",
)
COHORTS = OpenApiExample(
    "two weeks",
    {
        **_SPAN,
        "by": "week",
        "items": [
            {
                "began": "2026-03-02",
                "items": [
                    {"start": "2026-03-02", "people": 18, "suppressed": False},
                    {"start": "2026-03-09", "people": None, "suppressed": True},
                ],
            }
        ],
    },
    response_only=True,
    media_type="application/json",
)
