"""The public help pages. Every FAQ is reached through ``visible_to``: what is not the reader's is as absent."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers

from accounts.limits import Bucket, TooManyTries, take
from accounts.models import User
from accounts.sources import client_source
from chatbot_project.lib import markdown
from chatbot_project.lib.errors import ApplicationError, NotFound
from chatbot_project.lib.text import clean_text
from faqs import reading, services
from faqs.forms import FeedbackForm
from faqs.lookup import MAX_QUERY, look_up
from faqs.models import FAQ, FAQFeedback
from faqs.models.catalog import FAQQuerySet
from faqs.reading import Branch
from faqs.word_search import terms_of

PARTIAL_HEADER = "X-Partial"  # sent by the page's own scripts when they want the part without the page around it
PAGE_SIZE = 40
RELATED = 5
# So many at once from one address, then one more every so many seconds.
SEARCHES, SEARCH_SECONDS = 120, 1
WORDS, WORD_SECONDS = 30, 10  # whether something helped


# --- Pages ------------------------------------------------------------------------------------------------------------
@require_GET
@never_cache
@vary_on_headers(PARTIAL_HEADER)
def home(request: HttpRequest) -> HttpResponse:
    """The categories, and FAQs that stand in none. With ``q``, what is found instead."""
    faqs = FAQ.objects.visible_to(request.user)
    tree = reading.read_tree(faqs)
    context = {"tree": tree, "branches": tree.roots, "search_url": reverse("faqs:home")}
    return _browse(request, faqs, faqs.filter(category=None), context, None)


@require_GET
@never_cache
@vary_on_headers(PARTIAL_HEADER)
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """A category: its subcategories and its FAQs. With ``q``, what is found in it and below."""
    faqs = FAQ.objects.visible_to(request.user)
    tree = reading.read_tree(faqs)
    branch = tree.named(slug)
    if branch is None:
        raise NotFound
    context = {
        "tree": tree,
        "branch": branch,
        "tree_lines": tree.opened_to(branch),
        "branches": branch.children,
        "trail": branch.path[:-1],
        "search_url": reverse("faqs:category", args=[slug]),
    }
    return _browse(request, faqs, faqs.filter(category=branch.category), context, branch)


@require_GET
@never_cache
def faq(request: HttpRequest, faq_id: UUID) -> HttpResponse:
    """One FAQ: its answer, its translations, others of its category, and whether it helped. Conversations lead here for
    as long as they live: where it is absent, a page that leads on, the same whatever the reason."""
    faqs = FAQ.objects.visible_to(request.user)
    try:
        shown = _visible(faqs, faq_id)
    except NotFound:
        return render(request, "faqs/gone.html", {"search_url": reverse("faqs:home")}, status=404)
    tree = reading.read_tree(faqs)
    branch = tree.branches.get(shown.category_id) if shown.category_id else None
    languages = reading.reader_languages(request)
    context = {
        "faq": shown,
        "answer_html": markdown.render(shown.answer),
        "tree": tree,
        "branch": branch,
        "trail": branch.path if branch else [],
        "tree_lines": tree.opened_to(branch),
        "translations": _translations(faqs, shown),
        "related": _related(faqs, shown, languages),
        "search_url": reverse("faqs:home"),
        **_language_context(faqs, languages),
        **_feedback_context(request, shown),
    }
    return render(request, "faqs/faq.html", context)


# --- Actions ----------------------------------------------------------------------------------------------------------
@require_POST
def feedback(request: HttpRequest, faq_id: UUID) -> HttpResponse:
    """Store ``helpful`` (1 or 0) and ``comment``: one word a person or visitor, the last one counts."""
    shown = _visible(FAQ.objects.visible_to(request.user), faq_id)
    form = FeedbackForm(request.POST)
    if not form.is_valid():
        raise ApplicationError("bad_feedback", _("Say whether it helped, in at most 1,000 characters."))
    take([Bucket(f"help-feedback:{client_source(request)}", WORDS, WORD_SECONDS)])
    services.give_faq_feedback(
        faq=shown,
        user=_person(request),
        visitor="" if _person(request) else _visitor(request),
        helpful=form.cleaned_data["helpful"],
        comment=form.cleaned_data["comment"],
    )
    if _is_scripted(request):
        return render(request, "faqs/_feedback.html", {"faq": shown, **_feedback_context(request, shown)})
    return HttpResponseRedirect(reverse("faqs:faq", args=[shown.pk]) + "#feedback")


# --- Parts ------------------------------------------------------------------------------------------------------------
def _browse(
    request: HttpRequest, faqs: FAQQuerySet, listed: FAQQuerySet, context: dict[str, Any], branch: Branch | None
) -> HttpResponse:
    """The page ``context`` tells of with a page of ``listed``, or what ``q`` finds among ``faqs`` in ``branch``."""
    languages = reading.reader_languages(request)
    query = clean_text(request.GET.get("q", "")).strip()[:MAX_QUERY]
    context |= {"q": query, **_language_context(faqs, languages)}
    status, retry_after = 200, None
    if query:
        try:
            context["lines"] = _found(request, query, languages, branch)
        except TooManyTries as error:
            if _is_scripted(request):
                raise
            context |= {"lines": [], "notice": error.detail}
            status, retry_after = error.status, error.retry_after
    else:
        page = Paginator(reading.in_best_language(listed, languages), PAGE_SIZE).get_page(request.GET.get("page"))
        context |= {"page": page, "lines": reading.as_lines(page.object_list, languages)}
    template = "faqs/_browse.html" if _is_scripted(request) else "faqs/browse.html"
    response = render(request, template, context, status=status)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _found(request: HttpRequest, query: str, languages: Sequence[str], branch: Branch | None) -> list[reading.Line]:
    """Raises TooManyTries. While limits cannot be asked, nobody computes vectors: words alone are looked for."""
    try:
        take([Bucket(f"help-search:{client_source(request)}", SEARCHES, SEARCH_SECONDS)])
        by_meaning = True
    except TooManyTries:
        raise
    except ApplicationError:
        by_meaning = False
    found = look_up(query, user=request.user, languages=languages, branch=branch, by_meaning=by_meaning)
    return reading.as_lines(found, languages, terms_of(query))


def _visible(faqs: FAQQuerySet, faq_id: UUID) -> FAQ:
    found = faqs.select_related("category").filter(pk=faq_id).first()
    if found is None:
        raise NotFound
    return found


def _translations(faqs: FAQQuerySet, shown: FAQ) -> list[tuple[FAQ, str]]:
    others = faqs.filter(translation_group=shown.translation_group).exclude(pk=shown.pk).order_by("language")
    return [(other, reading.language_name(other.language)) for other in others]


def _related(faqs: FAQQuerySet, shown: FAQ, languages: Sequence[str]) -> FAQQuerySet | list[FAQ]:
    if shown.category_id is None:
        return []
    others = faqs.filter(category=shown.category_id).exclude(translation_group=shown.translation_group)
    return reading.in_best_language(others, languages)[:RELATED]


def _languages(faqs: FAQQuerySet) -> list[tuple[str, str]]:
    codes = faqs.order_by("language").values_list("language", flat=True).distinct()
    return [(code, reading.language_name(code)) for code in codes]


def _language_context(faqs: FAQQuerySet, languages: Sequence[str]) -> dict[str, Any]:
    """What there is to read in beside the pages' own languages, and in which language the reader reads best."""
    present = _languages(faqs)
    best = next((code for wish in languages for code, _name in present if reading.is_language(code, wish)), "")
    own = dict(settings.LANGUAGES)
    return {"more_languages": [each for each in present if each[0] not in own], "reading_language": best}


def _feedback_context(request: HttpRequest, shown: FAQ) -> dict[str, Any]:
    person = _person(request)
    if person is None and not request.session.session_key:
        return {"given": None}
    whose = {"user": person} if person else {"user": None, "visitor": _visitor(request)}
    return {"given": FAQFeedback.objects.filter(faq=shown, **whose).first()}


def _person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _visitor(request: HttpRequest) -> str:
    """A stand-in for the browser's session, which is begun where there is none; it tells nothing else."""
    if not request.session.session_key:
        request.session.create()
    key = request.session.session_key or ""
    return salted_hmac("faqs.visitor", key, algorithm="sha256").hexdigest()


def _is_scripted(request: HttpRequest) -> bool:
    return PARTIAL_HEADER in request.headers
