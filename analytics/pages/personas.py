"""A persona in figures, and two of its versions side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.models import User
from analytics.charts import Mark
from analytics.comparison import Compared, Side, Verdict, compare
from analytics.metrics import Group
from analytics.pages.access import PRICES, staff_page
from analytics.pages.asking import Asked, read_asked
from analytics.pages.figures import Figure, told
from analytics.pages.keeping import kept_sections
from analytics.pages.marks import marks
from analytics.pages.overview import page_context
from analytics.pages.sections import TITLES, Overview, Section
from analytics.pages.series import csv_url
from analytics.pages.shares import interval_told
from analytics.pages.tables import Sheet, part_response
from analytics.suppression import Suppressed, shown_groups
from analytics.totals import By, Filters, Totals
from chatbot_project.lib.errors import ApplicationError, NotFound
from personas.models import Persona, PersonaVersion

#: Of fewer replies, hardly any difference can be told from chance.
FEW_REPLIES = 30
#: The most days before a publishing that are set beside those after it.
AROUND = 28
VERDICTS: Mapping[Verdict, str | Promise] = {
    Verdict.BETTER: gettext_lazy("better"),
    Verdict.WORSE: gettext_lazy("worse"),
    Verdict.DIFFERENT: gettext_lazy("different"),
    Verdict.NOT_TOLD_APART: gettext_lazy("not told apart"),
    Verdict.TOO_FEW: gettext_lazy("too few to tell"),
    Verdict.NONE: "",
}


@dataclass(frozen=True, slots=True)
class ComparedLine:
    """A figure of both versions as people read it."""

    compared: Compared

    @property
    def label(self) -> str:
        return str(self.compared.metric.label)

    @property
    def sides(self) -> Sequence[tuple[str, str]]:
        """Value and interval of the old and of the new one."""
        return [self._told(self.compared.old), self._told(self.compared.new)]

    def _told(self, side: Side) -> tuple[str, str]:
        return told(self.compared.metric, side.value), "" if side.interval is None else interval_told(side.interval)

    @property
    def difference(self) -> Figure:
        return Figure(self.compared.metric, self.compared.new.value, self.compared.old.value)

    @property
    def verdict(self) -> str:
        return str(VERDICTS[self.compared.verdict])


@dataclass(frozen=True)
class Comparison:
    """Two versions of a persona in the days and with the filters that are asked for."""

    asked: Asked
    old: PersonaVersion
    new: PersonaVersion
    key: str = "versions"

    @cached_property
    def _totals(self) -> tuple[Totals | Suppressed, Totals | Suppressed]:
        groups = shown_groups(self.asked.period, By.VERSION, replace(self.asked.filters, version=None))
        return groups.get(self.old.pk, Totals()), groups.get(self.new.pk, Totals())

    @cached_property
    def compared(self) -> Sequence[Compared]:
        return compare(*self._totals, self.asked.filters)

    @property
    def groups(self) -> Sequence[tuple[str | Promise, Sequence[ComparedLine]]]:
        """The figures of which one of the versions has any, by what stands together."""
        lines = [ComparedLine(each) for each in self.compared if (each.old.value, each.new.value) != (None, None)]
        found: dict[Any, list[ComparedLine]] = {}
        for line in lines:
            found.setdefault(line.compared.metric.group, []).append(line)
        return [(TITLES[group], of) for group, of in found.items()]

    @property
    def columns(self) -> Sequence[tuple[PersonaVersion, Totals | None]]:
        """Each version and its sums, None where it is of too few people to be shown."""
        old, new = (None if isinstance(totals, Suppressed) else totals for totals in self._totals)
        return [(self.old, old), (self.new, new)]

    @property
    def heads(self) -> Sequence[tuple[str, str]]:
        """Of the columns: the version, and of how many replies its figures are."""
        return [
            (version.label, "" if totals is None else _replies_told(totals.replies)) for version, totals in self.columns
        ]

    @property
    def hidden(self) -> Sequence[str]:
        return [version.label for version, totals in self.columns if totals is None]

    @property
    def unused(self) -> Sequence[str]:
        """The versions of which there is no reply in these days."""
        return [version.label for version, totals in self.columns if totals is not None and not totals.replies]

    @property
    def is_of_few(self) -> bool:
        return not self.unused and any(
            totals is not None and totals.replies < FEW_REPLIES for _version, totals in self.columns
        )

    @property
    def around(self) -> str:
        """The address of as many days before the newer one was published as after it."""
        zone = self.asked.period.zone
        assert self.new.published_at is not None
        day, today = self.new.published_at.astimezone(zone).date(), timezone.localdate(timezone=zone)
        length = timedelta(days=min(AROUND, (today - day).days + 1))
        return f"?{self.asked.query_of_days(day - length, day + length - timedelta(days=1))}"

    @property
    def csv_url(self) -> str:
        return csv_url(self.asked, self.key)

    def sheet(self) -> Iterable[Sequence[Any]]:
        of = [_("at least (95 %)"), _("at most (95 %)"), _("of")]
        sides = [head for version in (self.old, self.new) for head in (version.label, *of)]
        yield ["name", _("Figure"), *sides, _("Verdict")]
        for each in self.compared:
            cells = [cell for side in (each.old, each.new) for cell in _cells(side)]
            yield [each.metric.name, str(each.metric.label), *cells, ComparedLine(each).verdict]


def _replies_told(replies: int) -> str:
    number = formats.number_format(replies, force_grouping=True)
    return ngettext("%(number)s reply", "%(number)s replies", replies) % {"number": number}


def _cells(side: Side) -> Sequence[Any]:
    value = str(side.value) if isinstance(side.value, Suppressed) else side.value
    return [value, *(side.interval or (None, None)), side.whole]


class PersonaPage:
    """All that the page of a persona shows. Of its versions, those that are or were published, the newest first."""

    def __init__(self, persona: Persona, query: QueryDict, user: User) -> None:
        self.persona, self.user = persona, user
        self.versions = list(persona.versions.published().order_by("-number"))
        asked = read_asked(query, fixed=Filters(persona=persona.pk))
        chosen = _two_of(self.versions, query)
        given = {name: str(query[name]) for name in ("old", "new") if query.get(name)}
        self.asked = replace(asked, also=given)
        self.comparison = Comparison(self.asked, *chosen) if chosen else None
        self.overview = Overview(self.asked, prices=user.has_perm(PRICES))

    @property
    def name(self) -> str:
        return self.persona.published.name if self.persona.published else self.persona.slug

    @property
    def prices(self) -> bool:
        return self.overview.prices

    @property
    def groups(self) -> Sequence[Group]:
        return self.overview.groups

    def section(self, group: Group) -> Section:
        """That of the overview, with the moments at which a version was published."""
        section = self.overview.section(group)
        return replace(section, charts=[replace(chart, marks=self._published) for chart in section.charts])

    @cached_property
    def moments(self) -> Sequence[tuple[datetime, int]]:
        return [(version.published_at, version.number or 0) for version in self.versions if version.published_at]

    @cached_property
    def _published(self) -> Sequence[Mark]:
        return marks(self.asked, self.moments, _("%(version)s: published on %(day)s"))

    @property
    def links(self) -> Iterable[tuple[str, str]]:
        if self.user.has_perm("personas.view_persona"):
            yield reverse("admin:personas_persona_change", args=[self.persona.pk]), _("In the administration")
        yield f"{reverse('analytics:overview')}?{self.asked.query_of_these_days}", _("All personas")

    @property
    def diff_url(self) -> str:
        """What was changed from the older to the newer one, in the administration."""
        if self.comparison is None or not self.user.has_perm("personas.view_persona"):
            return ""
        page = reverse("admin:personas_persona_versions", args=[self.persona.pk])
        return f"{page}?old={self.comparison.old.number}&new={self.comparison.new.number}"

    def sheets(self) -> dict[str, Sheet]:
        return {**self.overview.sheets(), **({self.comparison.key: self.comparison} if self.comparison else {})}


def _two_of(versions: Sequence[PersonaVersion], query: QueryDict) -> tuple[PersonaVersion, PersonaVersion] | None:
    """The versions that ``old`` and ``new`` name by their numbers, else the newest two; None where there is but one.

    Raises ApplicationError ``invalid`` where one of them is no version of the persona.
    """
    numbers = {str(version.number): version for version in versions}
    given = [query.get(name) or "" for name in ("old", "new")]
    if any(name and name not in numbers for name in given):
        raise ApplicationError("invalid", _("The persona has no such version."), status=400)
    if len(versions) < 2:
        return None
    new = numbers[given[1]] if given[1] else versions[0]
    earlier = [version for version in versions if (version.number or 0) < (new.number or 0)]
    old = numbers[given[0]] if given[0] else (earlier or versions[1:])[0]
    return old, new


@require_GET
@never_cache
@staff_page()
def persona(request: HttpRequest, user: User, slug: str) -> HttpResponse:
    """One persona; with ``format=csv`` the part that ``part`` names, as a file."""
    found = Persona.objects.with_published().filter(slug=slug).first()
    if found is None:
        raise NotFound(_("There is no such persona."))
    page = PersonaPage(found, request.GET, user)
    if request.GET.get("format") == "csv":
        return part_response(page.sheets(), request.GET.get("part"), f"nono-{found.slug}-{page.asked.name}")
    sections = kept_sections(request.path, page, page.moments)
    context = page_context(page.asked, tab="persona") | {"page": page, "persona": found, "overview": page.overview}
    context["sections"] = sections
    return render(request, "analytics/persona.html", context)
