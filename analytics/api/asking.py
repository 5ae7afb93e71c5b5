"""What a request for figures asks for: days, filters, names of figures, and whether as JSON or CSV."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from analytics.api.days import MOST_DAYS, USUAL_DAYS, read_period
from analytics.metrics import METRICS, Metric
from analytics.models import RollupState
from analytics.period import Period
from analytics.rollups import reporting_zone
from analytics.totals import By, Filters
from chatbot_project.lib.api.errors import InvalidInput
from conversations.models import Conversation
from personas.models import Persona, PersonaVersion

#: "" in figures: the language was not recognised, or a conversation has no question.
UNKNOWN_LANGUAGE: Final = "unknown"
MOST_DAYS_BY_HOUR: Final = 31
CSV: Final = "text/csv"
FORMAT = OpenApiParameter(
    "format", str, enum=["json", "csv"], description="Whatever `Accept` says, which else decides; JSON is usual."
)
NAMES = OpenApiParameter(
    "metrics",
    {"type": "array", "items": {"type": "string", "enum": list(METRICS)}, "minItems": 1, "maxItems": len(METRICS)},
    explode=False,
    description="Names of figures, with commas between them; all that can be told where there is none.",
)
DAYS_DESCRIPTION = (
    "Days are the organisation's (`timezone` of the answer). Without `from` they are "
    f"{USUAL_DAYS}, without `to` they go on until today; {MOST_DAYS} at most."
)
FEW_DESCRIPTION = (
    "What may be of fewer than five people is not told: it is `suppressed`. `null` alone says that there is none."
)


@dataclass(frozen=True, slots=True)
class Asked:
    period: Period
    filters: Filters


class FiltersSerializer(serializers.Serializer):  # type: ignore[type-arg]  # the framework's own takes no type
    """What figures are narrowed to."""

    persona = serializers.SlugField(max_length=60, required=False, help_text="A persona's slug.")
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="The number of a version of `persona`."
    )
    model = serializers.CharField(max_length=200, required=False, help_text="provider/name.")
    language = serializers.RegexField(
        r"^[a-z]{2,3}(-[A-Za-z]{1,8})*$|^unknown$", max_length=7, required=False, help_text="A code such as `de`."
    )
    channel = serializers.ChoiceField(choices=Conversation.Channel.choices, required=False)


def read_asked(request: Request) -> Asked:
    """The days and filters of the query. Raises InvalidInput (400)."""
    return Asked(read_period(request.query_params, reporting_zone()), read_filters(request.query_params))


def read_filters(query: Mapping[str, Any]) -> Filters:
    """Raises InvalidInput, or the framework's ValidationError (400)."""
    asked = FiltersSerializer(data={each.name: query[each.name] for each in fields(Filters) if each.name in query})
    asked.is_valid(raise_exception=True)
    given = asked.validated_data
    persona = _persona(given["persona"]) if "persona" in given else None
    version = _version(persona, given["version"]) if "version" in given else None
    language = given.get("language")
    return Filters(
        persona=persona.pk if persona else None,
        version=version.pk if version else None,
        model=given.get("model"),
        language="" if language == UNKNOWN_LANGUAGE else language,
        channel=given.get("channel"),
    )


def _persona(slug: str) -> Persona:
    persona = Persona.objects.filter(slug=slug).first()
    if persona is None:
        raise InvalidInput({"persona": [_("There is no such persona.")]})
    return persona


def _version(persona: Persona | None, number: int) -> PersonaVersion:
    if persona is None:
        raise InvalidInput({"version": [_("Say of which persona.")]})
    version = PersonaVersion.objects.filter(persona=persona, number=number).first()
    if version is None:
        raise InvalidInput({"version": [_("The persona has no version of that number.")]})
    return version


def read_metrics(query: Mapping[str, Any], *, grouped: bool = False) -> list[Metric]:
    """The figures that ``metrics`` names, in its order, else all; ``grouped``: of those that can be told of a part of a
    period. Raises InvalidInput (400)."""
    known = {name: metric for name, metric in METRICS.items() if not (grouped and metric.whole)}
    if "metrics" not in query:
        return list(known.values())
    names = list(dict.fromkeys(query["metrics"].split(",")))
    if any(name not in METRICS for name in names):
        raise InvalidInput({"metrics": [_("There is no figure of that name: GET analytics/metrics lists them.")]})
    if any(name not in known for name in names):
        raise InvalidInput({"metrics": [_("One of them is of a whole period only: ask analytics/figures for it.")]})
    return [known[name] for name in names]


def read_series_metrics(query: Mapping[str, Any], by: By) -> list[Metric]:
    """The same of a series. Raises InvalidInput (400)."""
    metrics = read_metrics(query, grouped=True)
    if by != By.HOUR_OF_WEEK:
        return metrics
    if "metrics" in query and [metric.name for metric in metrics] != ["questions"]:
        raise InvalidInput({"metrics": [_("By hour of the week there are questions alone.")]})
    return [METRICS["questions"]]


def read_choice(query: Mapping[str, Any], name: str, choices: list[str]) -> str:
    """The choice that ``name`` of the query is, the first where it is left out. Raises InvalidInput (400)."""
    chosen = query.get(name, choices[0])
    if chosen not in choices:
        raise InvalidInput({name: [_("Choose one of: %(names)s.") % {"names": ", ".join(choices)}]})
    return str(chosen)


def read_by(query: Mapping[str, Any], period: Period) -> By:
    """What a series is by. Raises InvalidInput where that would be too many points."""
    by = By(read_choice(query, "by", [By.DAY, *(each for each in By if each != By.DAY)]))
    if by == By.HOUR and len(period.days) > MOST_DAYS_BY_HOUR:
        raise InvalidInput({"from": [_("At most %(most)d days by hour.") % {"most": MOST_DAYS_BY_HOUR}]})
    return by


def counted(zone: ZoneInfo) -> dict[str, Any]:
    """Whose days an answer is of, and how far they are counted."""
    until: datetime | None = RollupState.objects.values_list("counted_until", flat=True).first()
    return {"timezone": zone.key, "counted_until": until}


class JSONOrCSV(DefaultContentNegotiation):
    """CSV is made by the view; whatever a client accepts, errors are problem details."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if "format" in request.query_params or wants_csv(request):
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)


def wants_csv(request: Request) -> bool:
    """What ``format`` says, else ``Accept``."""
    if "format" in request.query_params:
        return request.query_params["format"] == "csv"
    return request._request.get_preferred_type(["application/json", CSV]) == CSV
