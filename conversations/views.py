"""The chat's pages, and the actions on a conversation as JSON. Every row is reached through ``visible_to``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

import msgspec
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers

from accounts.models import User
from accounts.privacy.consents import open_questions
from chatbot_project.lib import markdown
from chatbot_project.lib.api.paging import read_page
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations import keeping, services
from conversations.events import MessageInfo, OfferInfo
from conversations.hand_over import request_person
from conversations.models import LIST_ORDERINGS, Conversation
from conversations.selectors import find_conversation
from conversations.transcript import conversation_info, read_transcript
from personas.models import Persona, PersonaVersion

LIST_SIZE = 30
PARTIAL_HEADER = "X-Partial"  # sent by the page's own scripts when they want the panel without the page around it
Params = ParamSpec("Params")


@dataclass(frozen=True, slots=True)
class PersonaCard:
    """A persona as the picker shows it; the HTML is safe."""

    slug: str
    version: PersonaVersion
    greeting_html: str


@dataclass(frozen=True, slots=True)
class Line:
    """A message as the transcript shows it, with its place among its branches."""

    info: MessageInfo
    branch: int
    branches: int

    @property
    def can_continue(self) -> bool:
        """Cut short, or at its limit: it can go on."""
        if self.info.code == services.BLOCKED:
            return False
        return self.info.status in ("interrupted", "stopped") or self.info.finish_reason == "length"

    @property
    def state(self) -> str:
        """What the page says below a reply that is not simply complete. The scripts say more once they run."""
        if self.info.role == "user":
            return ""
        if self.info.code == services.BLOCKED:
            return _("This breaks a rule of this service.")
        if self.info.code == services.WITHDRAWN:
            return _("This reply broke a rule of this service and was withdrawn.")
        if self.info.finish_reason == "length":
            return _("This reply reached its length limit.")
        return {
            "queued": _("Waiting for a free place …"),
            "streaming": _("Thinking …") if not self.info.text else "",
            "stopped": _("You stopped this reply."),
            "interrupted": _("This reply was interrupted. What arrived is kept."),
            "failed": _("No reply could be made."),
        }.get(self.info.status, "")

    @property
    def source(self) -> str:
        """What the page says of where a reply came from: nothing where a model wrote it."""
        return {
            "faq": _("Approved answer"),
            "faq_offline": _("Approved answer, assistant offline"),
        }.get(self.info.source, "")

    @property
    def offers(self) -> dict[str, OfferInfo]:
        return {offer.kind: offer for offer in self.info.offers}

    @property
    def contact_address(self) -> str:
        """Where a click on the contact leads: a web or mail address; empty where it is neither."""
        text = self.offers["contact"].text if "contact" in self.offers else ""
        if re.fullmatch(r"https?://\S+", text):
            return text
        return f"mailto:{text}" if re.fullmatch(r"[^\s@<>?&]+@[^\s@<>?&]+", text) else ""


def person_required(
    view: Callable[Concatenate[HttpRequest, User, Params], HttpResponse],
) -> Callable[Concatenate[HttpRequest, Params], HttpResponse]:
    """Give the view the person who asks. Without one: the sign-in page, or ``signed_out`` (401) for a script."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Params.args, **kwargs: Params.kwargs) -> HttpResponse:
        if isinstance(request.user, User):
            return view(request, request.user, *args, **kwargs)
        if request.method == "GET" and not _is_scripted(request):
            return redirect_to_login(request.get_full_path())
        raise ApplicationError("signed_out", _("Sign in to go on."), status=401)

    return guarded


# --- pages


@require_GET
@never_cache
@vary_on_headers(PARTIAL_HEADER)
def home(request: HttpRequest) -> HttpResponse:
    """A new chat with its choice of personas; for those who are not signed in, what this is and how to begin."""
    cards = _persona_cards(request.user)
    if not isinstance(request.user, User):
        return render(request, "conversations/landing.html", {"personas": cards, "allow_guests": settings.ALLOW_GUESTS})
    wanted = request.GET.get("persona", "")
    chosen = next((card for card in cards if card.slug == wanted), cards[0] if cards else None)
    return _render_chat(request, request.user, {"personas": cards, "persona": chosen})


@require_GET
@never_cache
@vary_on_headers(PARTIAL_HEADER)
@person_required
def conversation(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """A conversation with its newest messages."""
    shown = find_conversation(user=user, conversation_id=conversation_id)
    transcript = read_transcript(shown)
    version = shown.persona_version
    context = {
        "conversation": conversation_info(shown),
        "persona": PersonaCard(version.persona.slug, version, markdown.render(version.greeting)),
        "lines": [_line(message) for message in transcript.messages],
        "more": transcript.more,
    }
    return _render_chat(request, user, context)


@require_GET
@never_cache
@person_required
def conversation_list(request: HttpRequest, user: User) -> HttpResponse:
    """A page of the list as a fragment: ``q`` searches titles, ``archived`` shows the archive, ``cursor`` goes on."""
    return render(request, "conversations/_conversations.html", _list_context(user, request.GET))


@require_GET
@never_cache
@person_required
def earlier_messages(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """What stands before the message ``before``, as JSON ``{messages, more}`` in the shape of the protocol."""
    shown = find_conversation(user=user, conversation_id=conversation_id)
    transcript = read_transcript(shown, before=_uuid(request.GET.get("before", "")))
    return JsonResponse({"messages": msgspec.to_builtins(transcript.messages), "more": transcript.more})


# --- actions


@require_POST
@person_required
def rename(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Set ``title``."""
    title = request.POST.get("title", "")
    return _changed(keeping.change_conversation(user=user, conversation_id=conversation_id, title=title))


@require_POST
@person_required
def pin(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Set ``on`` to 1 or 0."""
    return _changed(keeping.change_conversation(user=user, conversation_id=conversation_id, pinned=_is_on(request)))


@require_POST
@person_required
def archive(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Set ``on`` to 1 or 0."""
    return _changed(keeping.change_conversation(user=user, conversation_id=conversation_id, archived=_is_on(request)))


@require_POST
@person_required
def delete(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Delete the conversation; ``restore`` undoes it for a while."""
    return _changed(keeping.delete_conversation(user=user, conversation_id=conversation_id))


@require_POST
@person_required
def restore(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Undo a deletion."""
    return _changed(keeping.restore_conversation(user=user, conversation_id=conversation_id))


@require_POST
@person_required
def branch(request: HttpRequest, user: User, conversation_id: UUID) -> HttpResponse:
    """Show the branch that goes through ``message``."""
    message_id = _uuid(request.POST.get("message", ""))
    changed = keeping.select_branch(user=user, conversation_id=conversation_id, message_id=message_id)
    return _changed(changed)


@require_POST
@person_required
def feedback(request: HttpRequest, user: User, message_id: UUID) -> HttpResponse:
    """Set ``value`` (1, -1, or 0 to take it back) and ``comment`` on a reply."""
    try:
        value = int(request.POST.get("value", ""))
    except ValueError:
        raise ApplicationError("bad_feedback", _("Feedback is 1, -1 or 0.")) from None
    comment = request.POST.get("comment", "")
    services.give_feedback(user=user, message_id=message_id, value=value, comment=comment)
    return JsonResponse({"value": value, "comment": comment if value else ""})


@require_POST
@person_required
def person(request: HttpRequest, user: User, message_id: UUID) -> HttpResponse:
    """Ask for a person below a reply that offers it."""
    return _changed(request_person(user=user, reply_id=message_id))


# --- parts


def _render_chat(request: HttpRequest, user: User, context: dict[str, Any]) -> HttpResponse:
    """The page, or only its panel where a script asks to replace that."""
    context["to_ask"] = open_questions(user)
    if _is_scripted(request):
        return render(request, "conversations/_panel.html", context)
    return render(request, "conversations/chat.html", {**_list_context(user, {}), **context})


def _list_context(user: User, query: Any) -> dict[str, Any]:
    words, archived = query.get("q", "").strip()[:200], query.get("archived") == "1"
    found = Conversation.objects.visible_to(user).listed(archived=archived).titled(words)
    cursor = query.get("cursor", "")
    page = read_page(found, {"cursor": cursor}, orderings=LIST_ORDERINGS, usual_limit=LIST_SIZE)
    infos = [conversation_info(line) for line in page.rows]
    return {"infos": infos, "next_cursor": page.next, "is_first_page": not cursor, "q": words, "archived": archived}


def _persona_cards(user: Any) -> list[PersonaCard]:
    personas = Persona.objects.visible_to(user).with_published()
    versions = [(persona.slug, persona.published) for persona in personas]
    return [PersonaCard(slug, version, markdown.render(version.greeting)) for slug, version in versions if version]


def _line(info: MessageInfo) -> Line:
    return Line(info, info.siblings.index(info.id) + 1 if info.id in info.siblings else 1, len(info.siblings))


def _changed(conversation: Conversation) -> JsonResponse:
    return JsonResponse({"conversation": msgspec.to_builtins(conversation_info(conversation))})


def _is_scripted(request: HttpRequest) -> bool:
    return PARTIAL_HEADER in request.headers or "HX-Request" in request.headers


def _is_on(request: HttpRequest) -> bool:
    return request.POST.get("on", "1") == "1"


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
