"""Figures as rollups have them: the same as the pages', the reports' and those of ``/metrics``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.permissions import MayDo
from analytics.api import figure_examples as examples
from analytics.api.asking import (
    DAYS_DESCRIPTION,
    FEW_DESCRIPTION,
    FORMAT,
    MOST_DAYS_BY_HOUR,
    NAMES,
    Asked,
    FiltersSerializer,
    JSONOrCSV,
    counted,
    read_asked,
    read_by,
    read_choice,
    read_metrics,
    read_series_metrics,
    wants_csv,
)
from analytics.api.days import FROM, TO, read_period
from analytics.api.figure_serializers import (
    AnySerializer,
    ChosenFiguresSerializer,
    CohortsSerializer,
    MetricsSerializer,
    SeriesSerializer,
    number,
)
from analytics.api.points import Point, read_points
from analytics.api.tables import csv_answer
from analytics.metrics import METRICS, Metric
from analytics.models import Grain
from analytics.period import Period, start_of
from analytics.rollups import reporting_zone, span_of
from analytics.suppression import SUPPRESSED, ShownNumber, ShownValue, shown_cohorts, shown_totals, shown_values
from analytics.totals import By, before

STAFF = "For moderators and admins; an API key needs the scope `staff`."
BY = OpenApiParameter("by", str, enum=[each.value for each in By], default=By.DAY.value)
COHORTS_BY = OpenApiParameter("by", str, enum=[Grain.WEEK.value, Grain.MONTH.value], default=Grain.WEEK.value)
COMPARE = OpenApiParameter("compare", str, enum=["before"], description="With as many days before.")


def answers(serializer: type[AnySerializer], example: Any) -> dict[Any, Any]:
    """JSON, and the same as CSV."""
    return {
        (200, "application/json"): OpenApiResponse(serializer, "Figures.", examples=[example]),
        (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A line for each item, below the names of its columns."),
    }


def span(period: Period) -> dict[str, Any]:
    return {"from": period.first, "to": period.last, **counted(period.zone)}


class FiguresAPIView(APIView):
    """Its ``get`` gives the body; ``columns`` of its rows make the CSV."""

    permission_classes = [MayDo]
    permissions = {"GET": "analytics.view_figures"}
    content_negotiation_class = JSONOrCSV

    def answer(
        self,
        request: Request,
        serializer: type[AnySerializer],
        body: Mapping[str, Any],
        *,
        name: str,
        columns: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
    ) -> HttpResponseBase:
        read_choice(request.query_params, "format", ["json", "csv"])
        if wants_csv(request):
            response: HttpResponseBase = csv_answer(columns, rows, name=name)
        else:
            response = Response(serializer(body).data)
        patch_vary_headers(response, ["Accept"])
        return response


class MetricsView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_metrics",
        tags=["analytics"],
        summary="What figures there are",
        description=f"Names and formulas are in the caller's language. {STAFF}",
        parameters=[FORMAT],
        responses=answers(MetricsSerializer, examples.METRICS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        body = {**counted(reporting_zone()), "currency": settings.PRICE_CURRENCY, "items": list(METRICS.values())}
        names = ("name", "label", "group", "unit", "formula", "source", "better", "by_model", "whole")
        rows = [{name: getattr(metric, name) for name in names} for metric in METRICS.values()]
        return self.answer(request, MetricsSerializer, body, name="metrics", columns=names, rows=rows)


class FiguresView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_figures",
        tags=["analytics"],
        summary="Figures of some days",
        description=f"{DAYS_DESCRIPTION} A figure that is not counted by what the filters name is `null`. "
        f"{FEW_DESCRIPTION} {STAFF}",
        parameters=[NAMES, FROM, TO, FiltersSerializer, COMPARE, FORMAT],
        responses=answers(ChosenFiguresSerializer, examples.FIGURES),
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked, metrics = read_asked(request), read_metrics(request.query_params)
        compared = "compare" in request.query_params
        if compared:
            read_choice(request.query_params, "compare", ["before"])
        now = figures(asked, metrics)
        then = figures(Asked(before(asked.period), asked.filters), metrics) if compared else {}
        items = [
            {
                "name": metric.name,
                "unit": metric.unit.value,
                **shown_as("value", "suppressed", now[metric.name]),
                **(shown_as("before", "before_suppressed", then[metric.name]) if compared else {}),
            }
            for metric in metrics
        ]
        earlier = before(asked.period)
        body = {
            **span(asked.period),
            "currency": settings.PRICE_CURRENCY,
            "before": {"from": earlier.first, "to": earlier.last} if compared else None,
            "items": items,
        }
        columns = ["name", "unit", "value", "suppressed", *(["before", "before_suppressed"] if compared else [])]
        return self.answer(request, ChosenFiguresSerializer, body, name="figures", columns=columns, rows=items)


def figures(asked: Asked, metrics: Sequence[Metric]) -> Mapping[str, ShownValue]:
    """By their names. None of what is not counted by model where one is asked for."""
    values = shown_values(shown_totals(asked.period, asked.filters), asked.filters, [each.name for each in metrics])
    return {
        each.name: None if asked.filters.model is not None and not each.by_model else values[each.name]
        for each in metrics
    }


def shown_as(value: str, suppressed: str, of: ShownValue) -> dict[str, Any]:
    return {value: number(of), suppressed: of is SUPPRESSED}


class SeriesView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_series",
        tags=["analytics"],
        summary="Figures over time, or by what they are of",
        description=f"{DAYS_DESCRIPTION} By hour at most {MOST_DAYS_BY_HOUR}. Over time there is an item for each "
        "hour, day, week (by its Monday) and month; of the first and last one only the days that are asked for. By "
        "persona, version, model, language or channel there are those that anything was counted of, by hour of the "
        "week (from Monday, hour 0) questions alone. "
        f"{FEW_DESCRIPTION} {STAFF}",
        parameters=[BY, NAMES, FROM, TO, FiltersSerializer, FORMAT],
        responses=answers(SeriesSerializer, examples.SERIES),
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = read_asked(request)
        by = read_by(request.query_params, asked.period)
        metrics = read_series_metrics(request.query_params, by)
        by_model = by == By.MODEL or asked.filters.model is not None
        items = [item_of(point, metrics, by_model=by_model) for point in read_points(asked.period, by, asked.filters)]
        names = [metric.name for metric in metrics]
        head = {**span(asked.period), "by": by.value, "metrics": names, "currency": settings.PRICE_CURRENCY}
        return self.answer(
            request,
            SeriesSerializer,
            {**head, "items": items},
            name=f"series-{by.value}",
            columns=["key", "label", "suppressed", *names],
            rows=[item | item["values"] for item in items],
        )


def item_of(point: Point, metrics: Sequence[Metric], *, by_model: bool) -> dict[str, Any]:
    """``by_model``: figures that are not counted by model are None."""
    values = {
        metric.name: None
        if point.totals is SUPPRESSED or (by_model and not metric.by_model)
        else metric.of(point.totals)
        for metric in metrics
    }
    return {
        "key": point.key,
        "label": point.label,
        "suppressed": point.totals is SUPPRESSED,
        "values": values,
    }


def returned(began: datetime, starts: Mapping[datetime, ShownNumber], zone: ZoneInfo) -> dict[str, Any]:
    items = [
        {"start": start.astimezone(zone).date(), **shown_as("people", "suppressed", people)}
        for start, people in starts.items()
    ]
    return {"began": began.astimezone(zone).date(), "items": items}


class CohortsView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_cohorts",
        tags=["analytics"],
        summary="Who came back",
        description="Of the people who began their first conversation in a week or month: how many asked something in "
        f"it and in each later one, up to the last. {DAYS_DESCRIPTION} Weeks and months that they touch are told "
        "whole. "
        f"{FEW_DESCRIPTION} {STAFF}",
        parameters=[COHORTS_BY, FROM, TO, FORMAT],
        responses=answers(CohortsSerializer, examples.COHORTS),
    )
    def get(self, request: Request) -> HttpResponseBase:
        period = read_period(request.query_params, reporting_zone())
        grain = read_choice(request.query_params, "by", [Grain.WEEK.value, Grain.MONTH.value])
        since = start_of(span_of(grain, period.first).first, period.zone)
        until = start_of(span_of(grain, period.last).after, period.zone)
        found = shown_cohorts(grain, since, until)
        items = [returned(began, starts, period.zone) for began, starts in found.items()]
        return self.answer(
            request,
            CohortsSerializer,
            {**span(period), "by": grain, "items": items},
            name=f"cohorts-{grain}",
            columns=["began", "start", "people", "suppressed"],
            rows=[{"began": item["began"], **each} for item in items for each in item["items"]],
        )
