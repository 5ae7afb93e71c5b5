"""What a reviewer says of a reply."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from analytics.quality.handing import MOST_COMMENT
from analytics.quality.models import Answer
from analytics.quality.rubric import RUBRIC


class ReviewForm(forms.Form):
    """A choice for each criterion, and a comment."""

    comment = forms.CharField(
        label=_("Comment (optional)"),
        required=False,
        max_length=MOST_COMMENT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_(
            "Name nobody. It is deleted with the reply, and whose reply it is finds it in a copy of their data."
        ),
    )
    field_order = (*RUBRIC, "comment")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, criterion in RUBRIC.items():
            self.fields[name] = forms.ChoiceField(
                label=str(criterion.label),
                help_text=str(criterion.asks),
                choices=Answer.choices,
                widget=forms.RadioSelect,
                error_messages={"required": _("Choose one.")},
            )
        self.order_fields(self.field_order)

    @property
    def answers(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in RUBRIC}
