"""What people send from the help pages."""

from django import forms


class FeedbackForm(forms.Form):
    """Whether an FAQ helped, and why not."""

    helpful = forms.TypedChoiceField(choices=[("1", "1"), ("0", "0")], coerce=lambda value: value == "1")
    comment = forms.CharField(required=False, max_length=1000)
