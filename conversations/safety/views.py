"""The page on which people see what was held back of theirs, and object."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from chatbot_project.lib.errors import ApplicationError, NotFound
from conversations.safety.findings import MAX_TEXT, appeal_item
from conversations.safety.models import ModerationItem

SHOWN = 100


@require_GET
@never_cache
@login_required
def held_back(request: HttpRequest) -> HttpResponse:
    """What was held back of the person's questions and of replies to them, the newest first."""
    items = ModerationItem.objects.visible_to(request.user).select_related("message").order_by("-created_at")[:SHOWN]
    return render(request, "conversations/held_back.html", {"items": items, "max_text": MAX_TEXT})


@require_POST
@login_required
def appeal(request: HttpRequest, item_id: UUID) -> HttpResponse:
    """Object, with ``text``."""
    assert isinstance(request.user, User)
    try:
        appeal_item(user=request.user, item_id=item_id, text=request.POST.get("text", ""))
    except NotFound:
        raise Http404 from None
    except ApplicationError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, _("A moderator will look at it again."))
    return redirect("conversations:held_back")
