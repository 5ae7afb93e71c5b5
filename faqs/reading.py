"""What a reader of the help pages finds: the category tree, lists of FAQs, their languages. Nothing here writes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from uuid import UUID

from django.conf import settings
from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join, strip_tags
from django.utils.safestring import SafeString
from django.utils.translation import get_language, get_language_info
from django.utils.translation.trans_real import parse_accept_lang_header

from accounts.models import User
from accounts.presence import chosen_language
from chatbot_project.lib.markdown import render
from chatbot_project.lib.text import shorten
from faqs.models import FAQ, Category
from faqs.models.catalog import FAQQuerySet, validate_language

MAX_READER_LANGUAGES = 6
MIN_MARKED = 3  # letters of a word that is marked where it was found
EXCERPT = 170  # characters of an answer in a list


# --- Categories -------------------------------------------------------------------------------------------------------
@dataclass(slots=True, eq=False)
class Branch:
    """A category with how many FAQs it holds itself (``own``), and with its subcategories (``total``)."""

    category: Category
    own: int
    parent: "Branch | None" = None
    total: int = 0
    children: list["Branch"] = field(default_factory=list)

    @property
    def path(self) -> list["Branch"]:
        """From the root down to this one."""
        return [*(self.parent.path if self.parent else []), self]

    @property
    def subtree(self) -> list["Branch"]:
        """This one and everything below it."""
        return [self, *(below for child in self.children for below in child.subtree)]

    @property
    def shown_depth(self) -> int:
        """How far it is moved in: the root 0, at most 5."""
        return min(len(self.path) - 1, 5)


@dataclass(frozen=True, slots=True)
class Tree:
    """Categories that hold something for the reader; the others are as absent."""

    roots: list[Branch]
    branches: dict[UUID, Branch]

    def named(self, slug: str) -> Branch | None:
        return next((branch for branch in self.branches.values() if branch.category.slug == slug), None)

    def opened_to(self, shown: Branch | None) -> list[Branch]:
        """The roots, and below them only what stands on the way to ``shown`` and right below that."""
        way = {branch.category.pk for branch in shown.path} if shown else set()
        lines: list[Branch] = []
        waiting = list(reversed(self.roots))
        while waiting:
            branch = waiting.pop()
            lines.append(branch)
            if branch.category.pk in way:
                waiting += reversed(branch.children)
        return lines


def grow_tree(categories: Iterable[Category], counts: Mapping[UUID, int]) -> Tree:
    """The tree of ``categories``, in their order, without branches where nothing is counted. Pure."""
    branches = {category.pk: Branch(category, counts.get(category.pk, 0)) for category in categories}
    roots: list[Branch] = []
    for branch in branches.values():
        branch.parent = branches.get(branch.category.parent_id) if branch.category.parent_id else None
        (branch.parent.children if branch.parent else roots).append(branch)
    kept = [root for root in roots if _count(root)]
    return Tree(kept, {below.category.pk: below for root in kept for below in root.subtree})


def _count(branch: Branch) -> int:
    branch.children = [child for child in branch.children if _count(child)]
    branch.total = branch.own + sum(child.total for child in branch.children)
    return branch.total


def read_tree(faqs: QuerySet[FAQ]) -> Tree:
    """The categories of ``faqs``; translations of one FAQ count once. Two queries."""
    rows = faqs.order_by().values("category").annotate(n=Count("translation_group", distinct=True))
    return grow_tree(Category.objects.all(), {row["category"]: row["n"] for row in rows if row["category"]})


# --- Languages --------------------------------------------------------------------------------------------------------
def reader_languages(request: HttpRequest) -> list[str]:
    """The languages of whoever asks, the dearest first: what they chose here, their profile's, their browser's."""
    wishes = [chosen_language(request)]
    if isinstance(request.user, User):
        wishes.append(request.user.language)
    wishes += [code for code, _weight in parse_accept_lang_header(request.headers.get("Accept-Language", "")[:200])]
    wishes += [get_language() or "", settings.LANGUAGE_CODE]
    codes = [code for code in (wish.lower() for wish in wishes) if re.match(validate_language.regex, code)]
    return list(dict.fromkeys(codes))[:MAX_READER_LANGUAGES]


def language_name(code: str) -> str:
    """What the language calls itself, or its code where nothing is known of it."""
    try:
        name = str(get_language_info(code)["name_local"])
    except KeyError:
        return code
    return name[:1].upper() + name[1:]


def is_language(code: str, wish: str) -> bool:
    """Whether a text in ``code`` is in the language ``wish``, whatever the region."""
    return code.partition("-")[0] == wish.partition("-")[0]


def language_rank(languages: Sequence[str]) -> Case:
    """An expression: how far down the reader's list an FAQ's language stands, regional variants after the exact one."""
    exact = [When(language=code, then=Value(2 * place)) for place, code in enumerate(languages)]
    near = [
        When(Q(language=base) | Q(language__startswith=f"{base}-"), then=Value(2 * place + 1))
        for place, base in enumerate(code.partition("-")[0] for code in languages)
    ]
    ordered = [when for pair in zip(exact, near, strict=True) for when in pair]
    return Case(*ordered, default=Value(2 * len(languages)), output_field=IntegerField())


def in_best_language(faqs: FAQQuerySet, languages: Sequence[str]) -> FAQQuerySet:
    """Of translations of each other only the one that the reader reads best; those in their language first."""
    rank = language_rank(languages)
    best = faqs.alias(rank=rank).order_by("translation_group", "rank", "language", "pk").distinct("translation_group")
    return FAQ.objects.filter(pk__in=best.values("pk")).alias(rank=rank).order_by("rank", "question", "pk")


# --- Texts ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Line:
    """An FAQ in a list. ``question`` and ``excerpt`` are safe HTML; ``language`` names a language that is not the
    reader's own."""

    faq: FAQ
    question: SafeString
    excerpt: SafeString
    language: str


def as_lines(faqs: Iterable[FAQ], languages: Sequence[str], terms: Sequence[str] = ()) -> list[Line]:
    """``faqs`` as a list shows them to a reader of ``languages``; words that begin like one of ``terms`` are marked."""
    return [
        Line(
            faq,
            mark(faq.question, terms),
            mark(excerpt(faq.answer), terms),
            "" if is_language(faq.language, languages[0]) else language_name(faq.language),
        )
        for faq in faqs
    ]


def excerpt(answer: str) -> str:
    """The first words of a Markdown answer, as plain text."""
    return shorten(unescape(strip_tags(render(answer[:2000]))), EXCERPT)


def mark(text: str, terms: Sequence[str]) -> SafeString:
    """``text`` as HTML in which words that begin like one of ``terms`` are marked; short terms are passed over."""
    wanted = "|".join(re.escape(term) for term in terms if len(term) >= MIN_MARKED)
    if not wanted:
        return format_html("{}", text)
    pieces = re.split(rf"(\b(?:{wanted})\w*)", text, flags=re.IGNORECASE)
    return format_html_join("", "{}{}", ((piece, _marked(word)) for piece, word in _pairs(pieces)))


def _marked(word: str) -> SafeString | str:
    return format_html("<mark>{}</mark>", word) if word else ""


def _pairs(pieces: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Text and marked word in turn, as ``re.split`` gives them."""
    return zip(pieces[::2], [*pieces[1::2], ""], strict=True)
