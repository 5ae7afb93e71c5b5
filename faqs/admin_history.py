"""The editors' pages of one FAQ: its versions, what changed, and its translations."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chatbot_project.lib.version_lines import VersionLine, compared
from faqs import services
from faqs.admin_site_pages import CHANGE, PUBLISH, VIEW, PagesAdmin, View, actor_of, press
from faqs.content import CONTENT_FIELDS
from faqs.history import diff_versions, restore_version
from faqs.models import FAQ
from faqs.reading import language_name
from faqs.translations import link_translation, translations_of, unlink_translation
from faqs.word_search import holding_words

FOUND = 10  # FAQs offered as translations


class HistoryPages(PagesAdmin):
    def faq_pages(self) -> dict[str, View]:
        return super().faq_pages() | {
            "versions": self.versions_view,
            "restore": self.restore_view,
            "translations": self.translations_view,
            "link": self.link_view,
            "unlink": self.unlink_view,
            "publish": self.publish_view,
            "archive": self.archive_view,
            "unarchive": self.unarchive_view,
        }

    def versions_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        """The history, and what changed between two versions: ``?old=&new=`` by number."""
        faq = self.faq_for(request, faq_id, VIEW)
        versions = {str(version.number): version for version in faq.versions.select_related("author")}
        may_change = request.user.has_perm(CHANGE)
        lines = [
            VersionLine(
                key=key, label=str(version), at=version.created_at,
                author=version.author.username if version.author else "", note=version.note,
                is_in_force=version.number == faq.version,
                may_return=may_change and version.number != faq.version,
            )
            for key, version in versions.items()
        ]  # fmt: skip
        old, new = compared(list(versions), request.GET) or ("", "")
        diff = diff_versions(versions[old], versions[new]) if old else []
        return self.page(
            request, "versions", gettext("Versions"), faq=faq, subtitle=faq.question, versions=lines, old=old, new=new,
            diff=[(field_label(field.name), field.lines) for field in diff], has_notes=True,
            return_url=_url("restore", faq),
        )  # fmt: skip

    def restore_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        """POST ``number``: the version that is to be the FAQ's content again."""
        faq = self.faq_for(request, faq_id, CHANGE)

        def write() -> None:
            number = request.POST.get("number", "")
            version = faq.versions.filter(number=number).first() if number.isdecimal() and len(number) < 9 else None
            if version is None:
                raise Http404
            restore_version(faq=faq, version=version, actor=actor_of(request))

        return press(request, write, _("The earlier version is in force again."), _url("versions", faq))

    def translations_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        """The FAQ's translations; ``q`` looks for others to link, in languages that are not taken."""
        faq = self.faq_for(request, faq_id, VIEW)
        linked = list(translations_of(faq))
        query = request.GET.get("q", "").replace("\0", "").strip()[:200]
        found: Any = []
        if query:
            taken = [faq.language, *(other.language for other in linked)]
            others = FAQ.objects.exclude(status=FAQ.Status.ARCHIVED).exclude(language__in=taken)
            found = holding_words(others, query).order_by("question", "pk")[:FOUND]
        return self.page(
            request, "translations", gettext("Translations"), faq=faq, subtitle=faq.question, q=query,
            linked=_named(linked), found=_named(found),
        )  # fmt: skip

    def link_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        """POST ``other``: the FAQ that says the same in another language."""
        faq = self.faq_for(request, faq_id, CHANGE)
        other = self._other(request)
        return press(
            request,
            lambda: link_translation(faq=faq, other=other, actor=actor_of(request)),
            _("The two are translations of each other now."),
            _url("translations", faq),
        )

    def unlink_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        """POST ``other``: the FAQ to take out of the group; this one, too."""
        faq = self.faq_for(request, faq_id, CHANGE)
        other = self._other(request)
        if other.translation_group != faq.translation_group:
            raise Http404
        return press(
            request,
            lambda: unlink_translation(faq=other, actor=actor_of(request)),
            _("The link is removed."),
            _url("translations", faq),
        )

    def _other(self, request: HttpRequest) -> FAQ:
        try:
            other = FAQ.objects.filter(pk=UUID(request.POST.get("other", ""))).first()
        except ValueError:
            other = None
        if other is None and request.method == "POST":
            raise Http404
        return other or FAQ()

    def publish_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        faq = self.faq_for(request, faq_id, PUBLISH)
        return press(
            request, lambda: services.publish_faqs(faqs=[faq], actor=actor_of(request)), _("The FAQ is published."),
            _url("change", faq),
        )  # fmt: skip

    def archive_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        faq = self.faq_for(request, faq_id, PUBLISH)
        return press(
            request, lambda: services.archive_faqs(faqs=[faq], actor=actor_of(request)), _("The FAQ is archived."),
            _url("change", faq),
        )  # fmt: skip

    def unarchive_view(self, request: HttpRequest, faq_id: UUID) -> HttpResponse:
        faq = self.faq_for(request, faq_id, PUBLISH)
        return press(
            request, lambda: services.unarchive_faq(faq=faq, actor=actor_of(request)), _("The FAQ is a draft again."),
            _url("change", faq),
        )  # fmt: skip


def field_label(name: str) -> str:
    """What the forms call a field of a version."""
    if name in {*CONTENT_FIELDS, "status"}:
        return str(FAQ._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    return gettext("Other ways to ask it") if name == "phrasings" else name


def _named(faqs: Any) -> list[tuple[FAQ, str]]:
    return [(faq, language_name(faq.language)) for faq in faqs]


def _url(name: str, faq: FAQ) -> str:
    return reverse(f"admin:faqs_faq_{name}", args=[faq.pk])
