"""The shapes of figures as rollups have them."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from analytics.metrics import METRICS, Better, Group, Unit
from analytics.suppression import Suppressed

if TYPE_CHECKING:
    AnySerializer = serializers.Serializer[Any]
    AnyField = serializers.Field[Any, Any, Any, Any]
else:
    AnySerializer = serializers.Serializer
    AnyField = serializers.Field

_SUPPRESSED = "It may be of fewer than five people."


@extend_schema_field({"type": ["number", "null"]})
class NumberField(AnyField):
    """A figure: a whole number where it is one, null where there is none or it is not shown."""

    def to_representation(self, value: Any) -> int | float:
        return float(value) if isinstance(value, Decimal) else value


@extend_schema_field({"type": "object", "additionalProperties": {"type": ["number", "null"]}})
class NumbersField(AnyField):
    """Figures by their names."""

    def to_representation(self, value: Any) -> dict[str, int | float | None]:
        return {name: float(each) if isinstance(each, Decimal) else each for name, each in value.items()}


def number(value: Any) -> Any:
    return None if isinstance(value, Suppressed) else value


class CountedSerializer(AnySerializer):
    """Whose days are counted, and how far."""

    timezone = serializers.CharField(help_text="Whose days are counted.")
    counted_until = serializers.DateTimeField(allow_null=True, help_text="How far figures go; null before the first.")


class SpanSerializer(CountedSerializer):
    to = serializers.DateField(help_text="The last day.")

    def get_fields(self) -> dict[str, Any]:
        # No class can declare a field of this name.
        return {"from": serializers.DateField(help_text="The first day."), **super().get_fields()}


class MetricSerializer(AnySerializer):
    """A figure: what it is called, what it counts and how it is made."""

    name = serializers.CharField()
    label = serializers.CharField(help_text="In the caller's language.")  # type: ignore[assignment]
    group = serializers.ChoiceField(choices=[each.value for each in Group])
    unit = serializers.ChoiceField(choices=[each.value for each in Unit], help_text="A share is of 1.")
    formula = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    better = serializers.ChoiceField(choices=[each.value for each in Better], allow_blank=True)
    by_model = serializers.BooleanField(help_text="Whether it can be told by model.")
    whole = serializers.BooleanField(help_text="Whether it is told of a whole period only.")


class MetricsSerializer(CountedSerializer):
    currency = serializers.CharField(help_text="Of money.")
    items = MetricSerializer(many=True)


class DaysSerializer(AnySerializer):
    to = serializers.DateField()

    def get_fields(self) -> dict[str, Any]:
        return {"from": serializers.DateField(), **super().get_fields()}


class FigureSerializer(AnySerializer):
    name = serializers.ChoiceField(choices=list(METRICS))
    unit = serializers.ChoiceField(choices=[each.value for each in Unit])
    value = NumberField(allow_null=True)
    suppressed = serializers.BooleanField(help_text=_SUPPRESSED)
    before = NumberField(allow_null=True, required=False, help_text="Only where it is asked for.")
    before_suppressed = serializers.BooleanField(required=False)


class ChosenFiguresSerializer(SpanSerializer):
    currency = serializers.CharField(help_text="Of money.")
    before = DaysSerializer(allow_null=True, help_text="The days before, where they are asked for.")
    items = FigureSerializer(many=True)


class PointSerializer(AnySerializer):
    """A day, week, month or hour by its beginning; an hour of the week from 0 (Monday, midnight) to 167; a persona's
    slug; slug and number of a version; a model, language or channel."""

    key = serializers.CharField(allow_blank=True)
    label = serializers.CharField(allow_blank=True, help_text="For people.")  # type: ignore[assignment]
    suppressed = serializers.BooleanField(help_text=_SUPPRESSED)
    values = NumbersField(help_text="By the figures' names; null for all where they are suppressed.")


class SeriesSerializer(SpanSerializer):
    by = serializers.CharField()
    metrics = serializers.ListField(child=serializers.CharField())
    currency = serializers.CharField(help_text="Of money.")
    items = PointSerializer(many=True)


class ReturnSerializer(AnySerializer):
    start = serializers.DateField()
    people = serializers.IntegerField(allow_null=True)
    suppressed = serializers.BooleanField(help_text=_SUPPRESSED)


class CohortSerializer(AnySerializer):
    began = serializers.DateField(help_text="The first day of the week or month in which they began.")
    items = ReturnSerializer(many=True, help_text="Who asked something in each week or month since, its own first.")


class CohortsSerializer(SpanSerializer):
    by = serializers.ChoiceField(choices=["week", "month"])
    items = CohortSerializer(many=True)
