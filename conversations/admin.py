"""Conversations and feedback in the admin: to look at, never to change. What people wrote opens only with a reason."""

from math import ceil
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.admin_reading import ReadOnlyAdmin, RecordedReading
from accounts.models import User
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations import moderation
from conversations.hand_over import resolve_hand_over
from conversations.models import Conversation, Feedback, HandOver, Message
from conversations.replies.cache import admin as _cache_admin  # noqa: F401  registers the cache's page
from conversations.safety import admin as _safety_admin  # noqa: F401  registers the moderators' pages
from faqs.languages import LANGUAGES
from faqs.reading import language_name

TROUBLE = (Message.Status.FAILED, Message.Status.INTERRUPTED)


class ReasonForm(forms.Form):
    """Why somebody's conversation has to be read."""

    reason = forms.CharField(
        label=_("Reason"), min_length=moderation.MIN_REASON, max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("At least 10 characters. It is recorded first, and the owner sees it with your name."),
    )  # fmt: skip


class EarlierForm(forms.Form):
    """What the button for earlier messages sends: the access that a reason gave, and where to go on."""

    access = forms.CharField(widget=forms.HiddenInput)
    before = forms.UUIDField(widget=forms.HiddenInput)


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("shown", _("In the list")),
            ("archived", _("Archived")),
            ("deleted", _("Deleted, not yet purged")),
            ("trouble", _("With a failed or interrupted reply")),
            ("disliked", _("With a reply found not helpful")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        replies = Message.objects.filter(conversation=OuterRef("pk"))
        conditions: dict[str, dict[str, Any]] = {
            "shown": {"deleted_at": None, "archived_at": None},
            "archived": {"deleted_at": None, "archived_at__isnull": False},
            "deleted": {"deleted_at__isnull": False},
        }
        match self.value():
            case "trouble":
                return queryset.filter(Exists(replies.filter(status__in=TROUBLE)))
            case "disliked":
                return queryset.filter(Exists(replies.filter(feedback__value=-1)))
            case state:
                return queryset.filter(**conditions.get(state or "", {}))


class ChannelFilter(admin.SimpleListFilter):
    """By where they were held. What is older than that is noted was held on the page."""

    title = _("channel")
    parameter_name = "channel"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Conversation.Channel.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        channel = self.value()
        if channel is None:
            return queryset
        chosen = Q(channel=channel)
        return queryset.filter(chosen | Q(channel=None) if channel == Conversation.Channel.WEB else chosen)


class LanguageFilter(admin.SimpleListFilter):
    """By what was found of their first questions."""

    title = _("language")
    parameter_name = "language"
    UNKNOWN = "unknown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*((code, language_name(code)) for code in LANGUAGES), (self.UNKNOWN, _("Not known"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        match self.value():
            case None:
                return queryset
            case self.UNKNOWN:
                return queryset.filter(Q(language=None) | Q(language=""))
            case code:
                return queryset.filter(language=code)


def _count(**conditions: Any) -> Coalesce:
    """How many messages of a conversation meet ``conditions``: counted for the rows of a page, not for the table."""
    rows = Message.objects.filter(conversation=OuterRef("pk"), **conditions).order_by().values("conversation")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0)


@admin.register(Conversation)
class ConversationAdmin(RecordedReading, ReadOnlyAdmin):
    """Who talked with whom and how it went. A title is made of what was said, so it is text like any other."""

    list_display = (
        "id", "owner", "persona", "questions", "completed", "stopped", "troubled", "live", "state",
        "created_at", "updated_at",
    )  # fmt: skip
    list_filter = (
        StateFilter, ("persona_version__persona", admin.RelatedOnlyFieldListFilter), ChannelFilter, LanguageFilter,
        "created_at",
    )  # fmt: skip
    search_fields = ("owner__email", "owner__username")
    search_help_text = _("Id of a conversation, or e-mail address or username of its owner")
    ordering = ("-id",)  # in the order of creation, by the primary key's index
    sortable_by = ()
    list_per_page = 50
    fields = (
        "id", "owner", "persona", "state", "questions", "completed", "stopped", "troubled", "live", "feedback",
        "created_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
    actions_detail: ClassVar[list[str]] = ["read_text"]

    def person_of(self, obj: Conversation) -> User:
        return obj.owner

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        """Without the columns that hold text, so that no page can show them by mistake."""
        rows: QuerySet[Conversation] = super().get_queryset(request)
        status = Message.Status
        return (
            rows.select_related("owner", "persona_version__persona")
            .defer("title", "summary")
            .annotate(
                questions_count=_count(status=status.SENT),
                completed_count=_count(status=status.COMPLETED),
                stopped_count=_count(status=status.STOPPED),
                troubled_count=_count(status__in=TROUBLE),
                live_count=_count(status__in=Message.LIVE),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
            return found, may_have_duplicates

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # A filter made up in the address could ask, letter by letter, what a hidden column holds.
        hidden = lookup.startswith(("title", "summary", "messages", "active_leaf"))
        return not hidden and bool(super().lookup_allowed(lookup, value, request))

    @admin.display(description=_("persona"))
    def persona(self, conversation: Conversation) -> str:
        version = conversation.persona_version
        return f"{version.emoji} {version.name} ({version.persona.slug}, {version.number})"

    @admin.display(description=_("questions"))
    def questions(self, conversation: Any) -> int:
        return int(conversation.questions_count)

    @admin.display(description=_("completed"))
    def completed(self, conversation: Any) -> int:
        return int(conversation.completed_count)

    @admin.display(description=_("stopped"))
    def stopped(self, conversation: Any) -> int:
        return int(conversation.stopped_count)

    @admin.display(description=_("failed or interrupted"))
    def troubled(self, conversation: Any) -> int:
        return int(conversation.troubled_count)

    @admin.display(description=_("under way"))
    def live(self, conversation: Any) -> int:
        return int(conversation.live_count)

    @admin.display(description=_("state"))
    def state(self, conversation: Conversation) -> Any:
        if conversation.deleted_at:
            return _("deleted")
        return _("archived") if conversation.archived_at else _("in the list")

    @admin.display(description=_("feedback"))
    def feedback(self, conversation: Conversation) -> str:
        values = Feedback.objects.filter(message__conversation=conversation).values_list("value", flat=True)
        return f"👍 {sum(v > 0 for v in values)}  👎 {sum(v < 0 for v in values)}"

    def has_read_text_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("conversations.read_text"))

    @action(description=_("Read the text"), url_path="read", permissions=["read_text"], icon="lock_open")
    def read_text(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a reason; with one, record it and show the text in this answer only, and not for long."""
        conversation = self.get_object(request, object_id)
        if conversation is None:
            raise Http404
        form, opened = ReasonForm(request.POST or None), None
        if request.method == "POST":
            opened = self._opened(request, conversation, form)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Read the text of a conversation"),
            "opts": self.opts,
            "original": conversation,
            "conversation": conversation,
            "form": form,
            "opened": opened,
        }
        response = TemplateResponse(request, "admin/conversations/read_text.html", context)
        if opened is not None:  # a page that is left open goes back to asking why
            seconds = max(0, ceil((opened.ends_at - timezone.now()).total_seconds()))
            response.headers["Refresh"] = f"{seconds}; url={request.path}"
        return response

    def _opened(
        self, request: HttpRequest, conversation: Conversation, form: ReasonForm
    ) -> moderation.OpenedText | None:
        """What the request opens. ``None``, with an error on ``form``, where it opens nothing."""
        actor, earlier = request.user, EarlierForm(request.POST)
        assert isinstance(actor, User)
        try:
            if earlier.is_valid():
                return moderation.open_earlier(actor=actor, conversation_id=conversation.pk, **earlier.cleaned_data)
            if form.is_valid():
                reason = form.cleaned_data["reason"]
                return moderation.open_text(actor=actor, conversation_id=conversation.pk, reason=reason)
        except NotFound:
            raise Http404 from None
        except ApplicationError as error:
            if error.status == 403:
                raise PermissionDenied from None
            form.errors["reason"] = form.error_class([error.detail])
        return None


@admin.register(Feedback)
class FeedbackAdmin(RecordedReading, ReadOnlyAdmin):
    """What people thought of replies, and the comment that they gave to whoever runs this."""

    list_display = ("created_at", "value", "comment", "answered_by", "conversation")
    list_filter = ("value", "created_at")
    fields = ("value", "comment", "answered_by", "conversation", "created_at", "updated_at")
    readonly_fields = fields
    ordering = ("-created_at",)
    list_per_page = 50

    def person_of(self, obj: Feedback) -> User:
        return obj.message.owner

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        rows: QuerySet[Feedback] = super().get_queryset(request)
        return rows.select_related("message__owner").defer("message__text")

    @admin.display(description=_("model"))
    def answered_by(self, feedback: Feedback) -> str:
        return feedback.message.model

    @admin.display(description=_("conversation"))
    def conversation(self, feedback: Feedback) -> str:
        return str(feedback.message.conversation_id)


@admin.register(HandOver)
class HandOverAdmin(RecordedReading, ReadOnlyAdmin):
    """Who asked for a person. What they wrote opens from the conversation, with a reason."""

    list_display = ("created_at", "state", "owner", "conversation", "resolved_by", "resolved_at")
    list_filter = ("state", "created_at")
    fields = ("created_at", "state", "owner", "conversation", "resolved_by", "resolved_at")
    readonly_fields = fields
    ordering = ("-state", "created_at")  # what is open first, the oldest on top
    sortable_by = ()
    list_per_page = 50
    actions_row: ClassVar[list[str]] = ["mark_done"]
    actions_detail: ClassVar[list[str]] = ["mark_done"]

    def person_of(self, obj: HandOver) -> User:
        return obj.message.owner

    def get_queryset(self, request: HttpRequest) -> QuerySet[HandOver]:
        rows: QuerySet[HandOver] = super().get_queryset(request)
        return rows.select_related("message__owner", "resolved_by").defer("message__text")

    @admin.display(description=_("person"))
    def owner(self, hand_over: HandOver) -> str:
        return str(hand_over.message.owner)

    @admin.display(description=_("conversation"))
    def conversation(self, hand_over: HandOver) -> str:
        pk = hand_over.message.conversation_id
        return format_html('<a href="{}">{}</a>', reverse("admin:conversations_conversation_change", args=[pk]), pk)

    def has_resolve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("conversations.change_handover"))

    @action(description=_("Done"), url_path="done", permissions=["resolve"], icon="check")
    def mark_done(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask whether it is dealt with; once that is confirmed, note who did."""
        hand_over = self.get_object(request, object_id)
        if hand_over is None:
            raise Http404
        if request.method == "POST":
            assert isinstance(request.user, User)
            resolve_hand_over(hand_over=hand_over, actor=request.user)
            messages.success(request, gettext("The request is done."))
            return HttpResponseRedirect(reverse("admin:conversations_handover_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Is this request done?"),
            "opts": self.opts,
            "original": hand_over,
            "hand_over": hand_over,
        }
        return TemplateResponse(request, "admin/conversations/hand_over_done.html", context)
