"""Personas in the admin: edit the draft, try it, publish it, compare and roll back. Every write is a service's."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.version_lines import VersionLine, compared
from personas import services, side_chat
from personas.diffs import as_lines, diff_content
from personas.forms import PersonaForm
from personas.models import Persona, PersonaVersion
from personas.versions import version_key, working_version

CHANGE, PUBLISH = "personas.change_persona", "personas.publish_persona"


@admin.register(Persona)
class PersonaAdmin(ModelAdmin):
    form = PersonaForm
    list_display = ("name", "slug", "state", "visibility", "position")
    list_select_related = ("published",)
    search_fields = ("slug", "published__name")
    ordering = ("position", "slug")
    show_full_result_count = False
    actions = None
    change_form_outer_before_template = "admin/personas/_links.html"
    fieldsets: ClassVar[Any] = (
        (_("Persona"), {"fields": ("slug", "position", "visibility")}),
        (_("What people see"), {"fields": ("name", "description", "emoji", "colour", "greeting", "suggestions")}),
        (
            _("What the model gets"),
            {"fields": ("system_prompt", "model", "temperature", "max_reply_tokens", "context_budget", "cache_hours")},
        ),
        (_("Knowledge"), {"fields": ("faq_mode", "faq_categories", "unknown_offers", "contact")}),
        (_("Safety"), {"fields": ("personal_data", "flag_from", "block_from")}),
    )

    # --- The list and the form ----------------------------------------------------------------------------------------
    def get_queryset(self, request: HttpRequest) -> QuerySet[Persona]:
        personas: Any = super().get_queryset(request)
        return personas.with_has_draft()  # type: ignore[no-any-return]

    @admin.display(description=_("name"), ordering="published__name")
    def name(self, persona: Persona) -> str:
        return persona.published.name if persona.published else persona.slug

    @admin.display(description=_("visible to"), ordering="published__visibility")
    def visibility(self, persona: Persona) -> str:
        return persona.published.get_visibility_display() if persona.published else "–"

    @admin.display(description=_("state"))
    def state(self, persona: Persona) -> str:
        if persona.archived_at:
            return gettext("archived")
        parts = [persona.published.label if persona.published else gettext("not published")]
        if getattr(persona, "has_draft", False):
            parts.append(gettext("draft"))
        return ", ".join(parts)

    @admin.display(description=_("content"))
    def content(self, persona: Persona) -> str:
        """For those who may look only: what the form would show."""
        return render_to_string("admin/personas/_content.html", {"fields": _shown(working_version(persona))})

    def get_fieldsets(self, request: HttpRequest, obj: Persona | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return self.fieldsets
        return ((None, {"fields": ("slug", "position", "state", "content")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Persona | None = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        if self.has_change_permission(request, obj):
            return ("slug",)  # it stands in addresses and files
        return ("slug", "position", "state", "content")

    def has_delete_permission(self, request: HttpRequest, obj: Persona | None = None) -> bool:
        return False  # conversations hold on to its versions: archive it

    def save_model(self, request: HttpRequest, obj: Persona, form: PersonaForm, change: bool) -> None:
        """Save the draft through the services; nothing here is published."""
        actor: Any = request.user
        if not change:
            draft = services.create_persona(slug=obj.slug, position=obj.position, actor=actor, **form.content)
            obj.pk = draft.persona_id
            obj.refresh_from_db()
            return
        if "position" in form.changed_data:
            services.move_persona(persona=obj, position=obj.position)
        if form.changes_content:
            services.edit_draft(persona=obj, actor=actor, **form.content)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        persona = kwargs.get("obj")
        if persona is not None:
            context |= self._links(request, persona)
        return super().render_change_form(request, context, *args, **kwargs)

    def _links(self, request: HttpRequest, persona: Persona) -> dict[str, Any]:
        return {
            "persona": persona,
            "draft": persona.versions.drafts().first(),
            "may_change": request.user.has_perm(CHANGE),
            "may_publish": request.user.has_perm(PUBLISH),
        }

    # --- Further pages ------------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse | StreamingHttpResponse]] = {
            "side-chat": self.side_chat_view,
            "side-chat/reply": self.side_chat_reply_view,
            "versions": self.versions_view,
            "publish": self.publish_view,
            "discard": self.discard_view,
            "roll-back": self.roll_back_view,
            "archive": self.archive_view,
            "restore": self.restore_view,
        }
        own = [
            path(
                f"<uuid:persona_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"personas_persona_{name.replace('-', '_').replace('/', '_')}",
            )
            for name, view in views.items()
        ]
        inherited: list[URLPattern] = super().get_urls()
        return own + inherited

    def _get(self, request: HttpRequest, persona_id: Any, permission: str) -> Persona:
        """The persona for somebody who has ``permission``. Raises PermissionDenied, Http404."""
        if not request.user.has_perm(permission):
            raise PermissionDenied
        persona = Persona.objects.with_published().filter(pk=persona_id).first()
        if persona is None:
            raise Http404
        return persona

    def _page(
        self, request: HttpRequest, template: str, persona: Persona, title: str, **context: Any
    ) -> TemplateResponse:
        common = self.admin_site.each_context(request) | self._links(request, persona)
        common |= {"opts": self.opts, "title": title, "subtitle": persona.slug}
        return TemplateResponse(request, f"admin/personas/{template}.html", common | context)

    def side_chat_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        """A page to talk to the draft, or without one to the published version."""
        persona = self._get(request, persona_id, CHANGE)
        version = working_version(persona)
        if version is None:
            raise Http404
        return self._page(request, "side_chat", persona, gettext("Try it"), version=version)

    def side_chat_reply_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse | StreamingHttpResponse:
        """POST the turns so far; streams the reply as lines of JSON (``side_chat.stream_reply``). Stores nothing."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        version = working_version(self._get(request, persona_id, CHANGE))
        if version is None:
            raise Http404
        try:
            turns = side_chat.read_turns(request.body)
        except ApplicationError as error:
            return JsonResponse(error.as_dict(), status=error.status)
        response = StreamingHttpResponse(
            side_chat.stream_reply(version, turns, request.user), content_type="application/x-ndjson"
        )
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def versions_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        """The history, and what changed between two versions: ``?old=&new=`` by number, ``draft`` for the draft."""
        persona = self._get(request, persona_id, "personas.view_persona")
        versions = {version_key(version): version for version in persona.versions.select_related("author")}
        may_roll_back = request.user.has_perm(PUBLISH) and not persona.archived_at
        lines = [
            VersionLine(
                key=key,
                label=version.label,
                at=version.published_at,
                author=version.author.username if version.author else "",
                is_in_force=version == persona.published,
                may_return=may_roll_back and version.number is not None and version != persona.published,
            )
            for key, version in versions.items()
        ]
        old, new = compared(list(versions), request.GET) or ("", "")
        diff = diff_content(versions[old].content, versions[new].content) if old else []
        return self._page(
            request,
            "versions",
            persona,
            gettext("Versions"),
            versions=lines,
            old=old,
            new=new,
            diff=[(_label(field.name), field.lines) for field in diff],
            return_url=reverse("admin:personas_persona_roll_back", args=[persona.pk]),
        )

    # --- Buttons ------------------------------------------------------------------------------------------------------
    def publish_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        return self._do(request, persona_id, self._publish, _("The draft is published."))

    def _publish(self, request: HttpRequest, persona: Persona) -> None:
        services.publish_draft(persona=persona, actor=_actor(request))

    def discard_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        return self._do(request, persona_id, self._discard, _("The draft is discarded."), CHANGE)

    def _discard(self, request: HttpRequest, persona: Persona) -> None:
        services.discard_draft(persona=persona)

    def roll_back_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        return self._do(request, persona_id, self._roll_back, _("The earlier version is in force again."))

    def _roll_back(self, request: HttpRequest, persona: Persona) -> None:
        number = request.POST.get("number", "")
        version = persona.versions.published().filter(number=number).first() if number.isdecimal() else None
        if version is None:
            raise Http404
        services.roll_back(persona=persona, version=version, actor=_actor(request))

    def archive_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        return self._do(request, persona_id, self._archive, _("The persona is archived."))

    def _archive(self, request: HttpRequest, persona: Persona) -> None:
        services.archive(persona=persona, actor=_actor(request))

    def restore_view(self, request: HttpRequest, persona_id: Any) -> HttpResponse:
        return self._do(request, persona_id, self._restore, _("The persona is restored."))

    def _restore(self, request: HttpRequest, persona: Persona) -> None:
        services.restore(persona=persona, actor=_actor(request))

    def _do(
        self,
        request: HttpRequest,
        persona_id: Any,
        write: Callable[[HttpRequest, Persona], None],
        done: Any,
        permission: str = PUBLISH,
    ) -> HttpResponse:
        """Answer a button: POST only, with ``permission``; what the services refuse is shown on the page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        persona = self._get(request, persona_id, permission)
        try:
            write(request, persona)
        except ApplicationError as error:
            messages.error(request, error.detail)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, done)
        if not Persona.objects.filter(pk=persona.pk).exists():
            return HttpResponseRedirect(reverse("admin:personas_persona_changelist"))
        return HttpResponseRedirect(reverse("admin:personas_persona_versions", args=[persona.pk]))


def _actor(request: HttpRequest) -> Any:
    return request.user  # staff, or admin_view would not have let them in


def _label(name: str) -> str:
    return str(PersonaVersion._meta.get_field(name).verbose_name)  # type: ignore[union-attr]


def _shown(version: PersonaVersion | None) -> list[tuple[str, list[str]]]:
    return [(_label(name), as_lines(value)) for name, value in version.content.items()] if version else []
