"""The admin's form of a persona: its own fields beside those of its draft."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from faqs.models import Category
from personas.models import CONTENT_FIELDS, Persona, PersonaVersion, missing_categories
from personas.services import VersionFields, fill
from personas.versions import working_version

# Django's own class takes no type at run time; the stubs' does.
if TYPE_CHECKING:
    PersonaModelForm = forms.ModelForm[Persona]
else:
    PersonaModelForm = forms.ModelForm


class SuggestionsField(forms.Field):
    """A list of texts, one on each line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


def _version_field(name: str, **options: Any) -> Any:
    return PersonaVersion._meta.get_field(name).formfield(**options)  # type: ignore[union-attr]


class PersonaForm(PersonaModelForm):
    """Edits the draft; without one, what is published, of which saving makes a draft."""

    name = _version_field("name", widget=UnfoldAdminTextInputWidget)
    description = _version_field("description", widget=UnfoldAdminTextInputWidget)
    emoji = _version_field("emoji", widget=UnfoldAdminTextInputWidget)
    colour = _version_field("colour", widget=UnfoldAdminSelectWidget)
    greeting = _version_field("greeting", widget=UnfoldAdminTextareaWidget)
    suggestions = SuggestionsField(
        label=_("Suggested first questions"), required=False, help_text=_("One on each line, at most six.")
    )
    system_prompt = _version_field("system_prompt", widget=UnfoldAdminTextareaWidget(attrs={"rows": 18}))
    model = _version_field("model", widget=UnfoldAdminTextInputWidget)
    temperature = _version_field("temperature", widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"}))
    max_reply_tokens = _version_field("max_reply_tokens", widget=UnfoldAdminIntegerFieldWidget)
    context_budget = _version_field("context_budget", widget=UnfoldAdminIntegerFieldWidget)
    visibility = _version_field("visibility", widget=UnfoldAdminSelectWidget)
    faq_mode = _version_field("faq_mode", widget=UnfoldAdminSelectWidget)
    faq_categories = forms.MultipleChoiceField(
        label=_("FAQ categories"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("With all that stands below them. None means all."),
    )
    unknown_offers = forms.MultipleChoiceField(
        label=_("Offers where the FAQ has no answer"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        choices=[
            ("rephrase", _("Ask in other words")),
            ("contact", _("The contact below")),
            ("handover", _("Hand it to a person")),
        ],
    )
    contact = _version_field("contact", widget=UnfoldAdminTextInputWidget)
    personal_data = _version_field("personal_data", widget=UnfoldAdminSelectWidget)
    flag_from = _version_field("flag_from", widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"}))
    block_from = _version_field("block_from", widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"}))

    cache_hours = _version_field("cache_hours", widget=UnfoldAdminIntegerFieldWidget)

    class Meta:
        model = Persona
        fields = ("slug", "position")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        version = working_version(self.instance) if not self.instance._state.adding else None
        if version:
            self.initial = {**version.content, **self.initial}
        self.fields["faq_categories"].choices = category_choices(version.faq_categories if version else [])  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if all(name in data for name in CONTENT_FIELDS):
            try:
                fill(PersonaVersion(), self.content)
            except ValidationError as error:
                self.add_error(None, error)
        return data

    @property
    def content(self) -> VersionFields:
        """The version's fields as they were sent."""
        content: Any = {name: self.cleaned_data[name] for name in CONTENT_FIELDS}
        return content  # type: ignore[no-any-return]

    @property
    def changes_content(self) -> bool:
        return not set(self.changed_data).isdisjoint(CONTENT_FIELDS)


def category_choices(chosen: list[str]) -> list[tuple[str, str]]:
    """All categories, a tree in its order, by slug; then those of ``chosen`` that are gone, so that nothing is
    dropped unseen: none chosen would mean all."""
    children: dict[Any, list[Category]] = {}
    for category in Category.objects.all():
        children.setdefault(category.parent_id, []).append(category)
    choices: list[tuple[str, str]] = []
    waiting = [(root, 0) for root in reversed(children.get(None, []))]
    while waiting:
        category, depth = waiting.pop()
        choices.append((category.slug, f"{'— ' * depth}{category.name}"))
        waiting += [(child, depth + 1) for child in reversed(children.get(category.pk, []))]
    return choices + [(slug, gettext("%s (gone)") % slug) for slug in missing_categories(chosen)]
