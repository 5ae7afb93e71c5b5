"""How good replies are, as people judged them: the same as the page's."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from analytics.api.asking import DAYS_DESCRIPTION, FORMAT, read_filters
from analytics.api.days import FROM, TO, read_period
from analytics.api.figure_serializers import AnySerializer, DaysSerializer, NumberField
from analytics.api.figure_views import STAFF, FiguresAPIView, answers
from analytics.quality import sampling
from analytics.quality.figures import Accuracy, Agreement, Quality, read_groups, shown_quality
from analytics.quality.models import Stratum
from analytics.quality.rubric import RUBRIC
from analytics.rollups import reporting_zone
from personas.models import Persona, PersonaVersion

PERSONA = OpenApiParameter("persona", str, description="A persona's slug.")
ACCURACY = ("judged", "unclear", "disputed", "open", "share", "partly", "low", "high")
COLUMNS = ("persona", "version", "stratum", "suppressed", *ACCURACY)
MODEL = "model"


class JudgedSerializer(AnySerializer):
    """What was found of the replies that a stratum drew, of all personas or of one."""

    persona = serializers.CharField(allow_null=True, help_text="Slug; null for all.")
    version = serializers.IntegerField(allow_null=True, help_text="Its number; null for all.")
    stratum = serializers.ChoiceField(choices=Stratum.choices, help_text="`random` alone tells of all replies.")
    suppressed = serializers.BooleanField(help_text="It may be of fewer than five people.")
    judged = serializers.IntegerField(allow_null=True, help_text="Replies with a verdict that tells.")
    unclear = serializers.IntegerField(allow_null=True, help_text="Nobody could tell.")
    disputed = serializers.IntegerField(allow_null=True, help_text="Three people said three things.")
    open = serializers.IntegerField(allow_null=True, help_text="Not judged to the end.")
    share = NumberField(allow_null=True, help_text="Of correct ones, of 1; each counts as many as it stands for.")
    partly = NumberField(allow_null=True, help_text="Of those that are correct in part.")
    low = NumberField(allow_null=True, help_text="Of the 95 % interval of `share`.")
    high = NumberField(allow_null=True)


class AgreementSerializer(AnySerializer):
    criterion = serializers.ChoiceField(
        choices=[*RUBRIC, MODEL], help_text="`model`: a model's opinions and people's verdicts on `correct`."
    )
    pairs = serializers.IntegerField()
    share = NumberField(allow_null=True, help_text="Of pairs that are the same.")
    kappa = NumberField(allow_null=True, help_text="Cohen's.")
    alpha = NumberField(allow_null=True, help_text="Krippendorff's, nominal.")


class QualitySerializer(DaysSerializer):
    timezone = serializers.CharField(help_text="Whose days these are.")
    is_on = serializers.BooleanField(help_text="Whether replies are drawn by now.")
    items = JudgedSerializer(many=True)
    agreement = AgreementSerializer(many=True, help_text="None where what is asked for is suppressed.")


EXAMPLE = OpenApiExample(
    "a month",
    {
        "from": "2026-03-01",
        "to": "2026-03-31",
        "timezone": "Europe/Berlin",
        "is_on": True,
        "items": [
            {
                "persona": None, "version": None, "stratum": "random", "suppressed": False, "judged": 120, "unclear": 3,
                "disputed": 1, "open": 9, "share": 0.91, "partly": 0.05, "low": 0.85, "high": 0.95,
            },
            {
                "persona": "pilot", "version": None, "stratum": "random", "suppressed": True, "judged": None,
                "unclear": None, "disputed": None, "open": None, "share": None, "partly": None, "low": None,
                "high": None,
            },
        ],
        "agreement": [{"criterion": "correct", "pairs": 118, "share": 0.94, "kappa": 0.71, "alpha": 0.7}],
    },
    response_only=True,
    media_type="application/json",
)  # fmt: skip


class QualityView(FiguresAPIView):
    @extend_schema(
        operation_id="analytics_quality",
        tags=["analytics"],
        summary="How good replies are, as people judged them",
        description="All of the days, then by persona and version where none is asked for. What may be of fewer than "
        f"five people is not told: it is `suppressed`. {DAYS_DESCRIPTION} {STAFF}",
        parameters=[PERSONA, FROM, TO, FORMAT],
        responses=answers(QualitySerializer, EXAMPLE),
    )
    def get(self, request: Request) -> HttpResponseBase:
        period = read_period(request.query_params, reporting_zone())
        query = {name: value for name, value in request.query_params.items() if name == "persona"}
        filters = read_filters(query)
        found = shown_quality(period, filters)
        slug = str(request.query_params.get("persona") or "") or None
        items = list(_strata(found, slug)) + ([] if slug else list(_groups(read_groups(period))))
        body = {
            "from": period.first,
            "to": period.last,
            "timezone": period.zone.key,
            "is_on": sampling.is_on(),
            "items": items,
            "agreement": list(_agreement(found)),
        }
        return self.answer(request, QualitySerializer, body, name="quality", columns=COLUMNS, rows=items)


def _row(of: Accuracy | None, persona: str | None, version: int | None, stratum: Stratum) -> dict[str, Any]:
    told = asdict(of) if of else {}
    which = {"persona": persona, "version": version, "stratum": stratum.value, "suppressed": of is None}
    return which | {name: told.get(name) for name in ACCURACY}


def _strata(found: Quality | None, persona: str | None) -> Iterator[dict[str, Any]]:
    yield _row(found.accuracy if found else None, persona, None, Stratum.RANDOM)
    for stratum, of in (found.strata if found else {}).items():
        yield _row(of, persona, None, stratum)


def _groups(groups: Any) -> Iterator[dict[str, Any]]:
    """What was removed since is named by its id; of a version that is gone nothing is told."""
    asked = Persona.objects.filter(pk__in={persona for persona, _version in groups})
    personas: dict[UUID, str] = dict(asked.values_list("pk", "slug"))
    wanted = {version for _persona, version in groups if version}
    versions = dict(PersonaVersion.objects.filter(pk__in=wanted).values_list("pk", "number"))
    named = [
        ((personas.get(persona, str(persona)), versions.get(version) or 0), version, of)
        for (persona, version), of in groups.items()
        if version is None or version in versions
    ]
    for (persona, number), version, of in sorted(named, key=lambda each: each[0]):
        yield _row(of, persona, number if version else None, Stratum.RANDOM)


def _agreement(found: Quality | None) -> Iterator[dict[str, Any]]:
    if found is None:
        return
    of: dict[str, Agreement] = {**found.criteria, MODEL: found.model}
    for criterion, agreement in of.items():
        yield {"criterion": criterion, **asdict(agreement)}
