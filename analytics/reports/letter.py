"""The mail of a report: the figures that matter most, with all of it attached as its reader wished."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.mail import Letter, LetterTable, letter_message
from analytics.models import Grain, Report, Subscription
from analytics.reports.files import File, Format, file_of
from analytics.reports.subscribing import unsubscribe_link
from analytics.reports.wording import columns_of, figure_rows, tables_of, title_of

#: Figures of the mail, in its order. The report keeps all there are.
MAILED = (
    *("new_people", "conversations", "questions", "replies", "first_token_p95", "completed_rate", "failed_rate"),
    *("unknown_rate", "direct_rate", "satisfaction", "handed_over", "gap_questions", "blocked", "appeals"),
    *("copies_asked", "erasures_asked", "cost"),
)
_ACTIVE: Mapping[str, str] = {Grain.DAY: "active_daily", Grain.WEEK: "active_weekly", Grain.MONTH: "active_monthly"}
_MAILED_TABLES, _MAILED_ROWS = ("personas", "faqs"), 5


def build_mail(report: Report, subscription: Subscription, to: str) -> EmailMultiAlternatives:
    """In the subscription's language, with a link to end it: in the mail, and in the headers by which mail programs
    show a button (RFC 8058)."""
    link = unsubscribe_link(subscription)
    with translation.override(subscription.language):
        message = letter_message(write_letter(report, link), to=[to])
        for file in attachments(report, subscription):
            message.attach(file.name, file.content, file.media_type.partition(";")[0])
    message.extra_headers["List-Unsubscribe"] = f"<{link}>"
    message.extra_headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return message


def attachments(report: Report, subscription: Subscription) -> list[File]:
    wanted = ((subscription.pdf, Format.PDF), (subscription.csv, Format.CSV))
    return [file_of(report, format, subscription.language) for wished, format in wanted if wished]


def write_letter(report: Report, unsubscribe: str = "") -> Letter:
    """In the active language."""
    figures = LetterTable("", (_("Figure"), *columns_of(report)), figure_rows(report, (_ACTIVE[report.grain], *MAILED)))
    return Letter(
        subject=title_of(report),
        paragraphs=[_("What was asked and how well it was answered, beside the time before.")],
        tables=[figures, *_others(report)],
        link=f"{settings.BASE_URL}{reverse('admin:analytics_report_change', args=[report.pk])}",
        label=_("The whole report"),
        closing=[*_gaps(report), *_end(unsubscribe)],
    )


def _others(report: Report) -> list[LetterTable]:
    return [
        LetterTable(table.title, table.head, table.rows[:_MAILED_ROWS])
        for table in tables_of(report)
        if table.name in _MAILED_TABLES
    ]


def _gaps(report: Report) -> list[str]:
    number: Any = report.content.get("gaps")
    if not number:
        return []
    address = f"{settings.BASE_URL}{reverse('admin:faqs_gap_changelist')}"
    text = _("Questions without a good answer on the editors' list: %(number)d.") % {"number": number}
    return [f"{text} {address}"]


def _end(unsubscribe: str) -> list[str]:
    if not unsubscribe:
        return []
    return [
        _("You get this because you, or somebody for you, subscribed to it. To get no more: %(link)s")
        % {"link": unsubscribe}
    ]
