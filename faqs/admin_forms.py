"""The editors' forms: an FAQ with its other wordings, a category in its tree, a question to ask, a file to import."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.audience import Visibility
from chatbot_project.lib.errors import ApplicationError
from faqs.categories import category_paths
from faqs.content import CONTENT_FIELDS, FAQFields
from faqs.models import FAQ, Category
from faqs.models.catalog import validate_language
from faqs.owners import owners
from faqs.phrasings import phrasings_of

# Django's own class takes no type at run time; the stubs' does.
if TYPE_CHECKING:
    FAQModelForm = forms.ModelForm[FAQ]
    CategoryModelForm = forms.ModelForm[Category]
    CategoryChoiceField = forms.ModelChoiceField[Category]
else:
    FAQModelForm = CategoryModelForm = forms.ModelForm
    CategoryChoiceField = forms.ModelChoiceField


class LinesField(forms.Field):
    """A list of texts, one on each line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class TagsField(LinesField):
    """A list of words with commas between them."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        return [tag.strip() for tag in str(value or "").split(",") if tag.strip()]


def category_choices() -> list[tuple[str, str]]:
    """Every category by its id, moved in by its depth, in the order of the tree. One query."""
    return [(str(pk), f"{'— ' * (len(path) - 1)}{path[-1].name}") for pk, path in category_paths().items()]


class CategoryField(CategoryChoiceField):
    """A choice out of the tree."""

    def __init__(self, **options: Any) -> None:
        empty = options.pop("empty", "–")
        super().__init__(Category.objects.all(), required=False, widget=UnfoldAdminSelectWidget, **options)
        self.choices = lambda: [("", empty), *category_choices()]  # asked for each form


class FAQForm(FAQModelForm):
    """What an FAQ says. ``expected_version`` is the version that was opened: who saves meanwhile is not overwritten
    unawares. ``refusal`` is what the services answered when this form was saved a moment ago."""

    phrasings = LinesField(
        label=_("Other ways to ask it"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 8}),
        help_text=_("One on each line. The more ways people really ask it, the better it is found."),
    )  # fmt: skip
    tags = TagsField(label=_("Tags"), required=False, help_text=_("With commas between them."))
    category = CategoryField(label=_("Category"))
    note = forms.CharField(
        label=_("Note on this change"), required=False, max_length=200, widget=UnfoldAdminTextInputWidget,
        help_text=_("Stands in the history."),
    )  # fmt: skip
    expected_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    refusal: ApplicationError | ValidationError | None = None

    class Meta:
        model = FAQ
        fields = ("question", "answer", "category", "language", "visibility", "valid_from", "valid_until", "owner")
        widgets = {
            "question": UnfoldAdminTextInputWidget,
            "answer": UnfoldAdminTextareaWidget(attrs={"rows": 14}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            stored = {"phrasings": phrasings_of(self.instance), "tags": list(self.instance.tags)}
            self.initial = {**stored, "expected_version": self.instance.version, **self.initial}
        if "owner" in self.fields:
            self.fields["owner"].queryset = owners()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        begin, end = data.get("valid_from"), data.get("valid_until")
        if begin and end and end <= begin:
            self.add_error("valid_until", _("This must be later than the beginning."))
        if isinstance(self.refusal, ValidationError):
            self._show_invalid(self.refusal)
        elif self.refusal is not None and self.refusal.code != "edit_conflict":
            self.add_error(None, self.refusal.detail)
        elif not self.instance._state.adding and not self.errors:
            self._check_version(data.get("expected_version"))
        return data

    def _show_invalid(self, refusal: ValidationError) -> None:
        by_field = refusal.error_dict if hasattr(refusal, "error_dict") else {"": refusal.error_list}
        for name, errors in by_field.items():
            self.add_error(name if name in self.fields else None, ValidationError(errors))

    def _check_version(self, expected: int | None) -> None:
        """Where somebody has saved meanwhile: say who, keep what was typed, and let a second save put it in force."""
        stored = FAQ.objects.filter(pk=self.instance.pk).values_list("version", flat=True).first()
        if expected is None or stored is None or stored == expected:
            return
        newest = self.instance.versions.select_related("author").filter(number=stored).first()
        author = newest.author.username if newest and newest.author else gettext("Somebody else")
        compare = reverse("admin:faqs_faq_versions", args=[self.instance.pk]) + f"?old={expected}&new={stored}"
        text = gettext("%(author)s has changed this FAQ since you opened it. Your text is still here.")
        link = format_html('<a href="{}" target="_blank">{}</a>', compare, gettext("See what changed"))
        again = gettext("Save again to put yours in its place.")
        self.add_error(None, format_html("{} {}. {}", text % {"author": author}, link, again))
        typed: Any = self.data
        self.data = typed.copy()
        self.data[self.add_prefix("expected_version")] = str(stored)  # type: ignore[index]  # a QueryDict

    @property
    def content(self) -> FAQFields:
        """The fields as the services take them."""
        names = (*CONTENT_FIELDS, "owner")
        content: Any = {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}
        return content  # type: ignore[no-any-return]


class CategoryForm(CategoryModelForm):
    """A category and where it hangs."""

    parent = CategoryField(label=_("Below"), empty=_("At the top"))

    refusal: ApplicationError | ValidationError | None = None

    class Meta:
        model = Category
        fields = ("name", "parent", "slug", "description", "position")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "slug" in self.fields:
            self.fields["slug"].required = False
            self.fields["slug"].help_text = _("Stands in addresses and persona files and never changes.")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if isinstance(self.refusal, ApplicationError):
            self.add_error("parent" if self.refusal.code == "category_cycle" else None, self.refusal.detail)
        elif self.refusal is not None:
            self.add_error(None, ValidationError(self.refusal.messages))
        return data


class AskForm(forms.Form):
    """A question, and for whom it is asked."""

    q = forms.CharField(
        label=_("Question"), max_length=1000,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": _("As somebody would ask it")}),
    )  # fmt: skip
    audience = forms.ChoiceField(
        label=_("Asked by"), choices=Visibility.choices, initial=Visibility.GUESTS, required=False,
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip
    language = forms.CharField(
        label=_("Language"), max_length=7, required=False, validators=[validate_language],
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": _("as detected")}),
    )  # fmt: skip
    category = CategoryField(label=_("Within"), empty=_("All categories"))


class ImportForm(forms.Form):
    """A file of FAQs."""

    file = forms.FileField(
        label=_("CSV or JSON file"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.json,text/csv,application/json"}),
        help_text=_("As the export writes it. First you see what would happen, row by row."),
    )  # fmt: skip
