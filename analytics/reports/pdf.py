"""A report as PDF, for people who read it on paper or pass it on: the figures that matter most, charts, all others, and
the tables below them.

Its bytes are the same whenever it is made of the same report: dates in it are the report's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from django.utils import formats, translation
from django.utils.translation import gettext as _
from fpdf import FPDF, FontFace
from fpdf.enums import Align, TableBordersLayout, XPos, YPos

from analytics.metrics import METRICS, Better, Unit
from analytics.models import Report
from analytics.reports import fonts
from analytics.reports.chart import Chart, chart_of
from analytics.reports.periods import is_final
from analytics.reports.wording import FEW, Table, columns_of, figures_by_group, shown, tables_of, title_of

#: Tiles at the top of the first page.
FIRST = ("active_daily", "conversations", "questions", "completed_rate", "satisfaction", "cost")
#: The palette of static/css/tokens.css, as on paper.
INK, MUTED, LINE, ACCENT, SOFT, GOOD, BAD = (
    (29, 36, 32), (86, 96, 90), (224, 220, 209), (11, 102, 84), (243, 241, 235), (11, 102, 84), (168, 35, 27),
)  # fmt: skip
FAMILY, CJK = "text", "cjk"
MARGIN, LINE_HEIGHT = 16, 5.2  # mm


def write_pdf(report: Report) -> bytes:
    """In the active language."""
    with _fonts() as place:
        page = _Pages(report, place)
        page.draw()
        return bytes(page.output())


@contextmanager
def _fonts() -> Iterator[Path]:
    """A directory with the fonts as files for the time being, as fpdf2 takes them."""
    with TemporaryDirectory(prefix="report-") as name:
        place = Path(name)
        (place / "regular.ttf").write_bytes(fonts.REGULAR)
        (place / "bold.ttf").write_bytes(fonts.BOLD)
        yield place


class _Pages(FPDF):
    def __init__(self, report: Report, place: Path) -> None:
        super().__init__(format="A4")
        self.report = report
        self.title_text = title_of(report)
        self.groups, self.tables = figures_by_group(report), tables_of(report)
        self._open_fonts(place)
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, margin=18)
        self.set_title(self._report_name())
        self.set_lang(translation.get_language() or "en")
        self.set_creator("Nono")
        self.set_creation_date(report.made_at)
        self.set_display_mode("fullwidth")

    def _open_fonts(self, place: Path) -> None:
        self.add_font(FAMILY, "", place / "regular.ttf")
        self.add_font(FAMILY, "B", place / "bold.ttf")
        names = (row[0] for table in self.tables for row in table.rows)
        if fonts.needs_cjk((self.title_text, *names)):
            self.add_font(CJK, "", fonts.CJK)
            self.set_fallback_fonts([CJK], exact_match=False)
        self.set_text_shaping(True)

    def _report_name(self) -> str:
        return fonts.written(f"Nono · {self.title_text}")

    # --- On every page ------------------------------------------------------------------------------------------------
    def header(self) -> None:
        if self.page_no() > 1:
            self._text(self._report_name(), size=8, colour=MUTED)
            self.ln(7)

    def footer(self) -> None:
        self.set_y(-12)
        self._text(_("Page %(number)d of %(all)s") % {"number": self.page_no(), "all": "{nb}"}, 8, MUTED, Align.R)

    # --- The report ---------------------------------------------------------------------------------------------------
    def draw(self) -> None:
        self.add_page()
        self._head()
        self._tiles()
        for chart in (chart_of(self.report, column) for column in ("questions", "people")):
            if chart is not None:
                self._chart(chart)
        self._heading(_("All figures"))
        for group in self.groups:
            self._table(_with_changes(self.report, group), widths=(43, 19, 19, 19), below=True)
        for table in self.tables:
            self._heading(table.title)
            self._table(table, widths=_widths(table))
        self._notes()

    def _head(self) -> None:
        self.set_fill_color(*ACCENT)
        self.rect(0, 0, self.w, 30, style="F")
        self.set_y(8)
        self._text(_("Nono · report"), size=9, colour=(255, 255, 255))
        self.ln(6)
        self._text(self.title_text, size=17, colour=(255, 255, 255), bold=True)
        self.set_y(35)
        about = {"zone": self.report.time_zone, "before": columns_of(self.report)[1]}
        text = _("Days of %(zone)s. Changes are those to: %(before)s.") % about
        self._text(text, size=8.5, colour=MUTED)
        self.set_x(self.l_margin)
        self._text(self._made(), 8.5, MUTED, Align.R)
        self.ln(8)

    def _made(self) -> str:
        made = self.report.made_at.astimezone(ZoneInfo(self.report.time_zone))
        when = {"time": formats.date_format(made, "SHORT_DATETIME_FORMAT")}
        text = _("Made on %(time)s") if is_final(self.report) else _("Not over or not added up yet: as of %(time)s")
        return text % when

    def _tiles(self) -> None:
        names = [name for name in FIRST if name in self.report.figures]
        gap, height = 4, 21
        width = (self.epw - 2 * gap) / 3
        top = self.get_y()
        for place, name in enumerate(names):
            self._tile(
                name,
                self.l_margin + place % 3 * (width + gap),
                top + place // 3 * (height + gap),
                width,
                height,
            )  # fmt: skip
        self.set_y(top + -(-len(names) // 3) * (height + gap) + 2)

    def _tile(self, name: str, x: float, y: float, width: float, height: float) -> None:
        metric, (now, then) = METRICS[name], self.report.figures[name]
        self.set_fill_color(*SOFT)
        self.rect(x, y, width, height, style="F", round_corners=True, corner_radius=2)
        self.set_xy(x + 4, y + 2.5)
        self._text(str(metric.label), size=8.5, colour=MUTED)
        self.set_xy(x + 4, y + 7.5)
        self._text(shown(metric, now, self.report.content.get("currency")), size=15, colour=INK, bold=True)
        self.set_xy(x + 4, y + 14.5)
        text, colour = _change(name, now, then)
        self._text(text, size=8.5, colour=colour)

    def _chart(self, chart: Chart) -> None:
        self._keep_together(58)
        self._heading(chart.title)
        top, height = self.get_y(), 34
        self.image(
            chart.svg(self.epw, height),
            x=self.l_margin,
            y=top,
            w=self.epw,
            h=height,
            alt_text=fonts.written(chart.told),
        )
        self.set_xy(self.l_margin, top - 1)
        self._text(chart.most, size=7.5, colour=MUTED)
        width = self.epw / len(chart.labels)
        for place, label in enumerate(chart.labels):
            if label:
                self.set_xy(self.l_margin + place * width - 10 + width / 2, top + height)
                self.set_font(FAMILY, "", 7.5)
                self.set_text_color(*MUTED)
                self.cell(20, 4, fonts.written(label), align=Align.C)
        self.set_xy(self.l_margin, top + height + 7)

    def _notes(self) -> None:
        gaps = self.report.content.get("gaps")
        notes = [_("%(few)s: of fewer than five people or derived from them, and so not shown.") % {"few": FEW}]
        if gaps is not None:
            notes.insert(0, _("Questions without a good answer on the editors' list: %(number)d.") % {"number": gaps})
        self._keep_together(8 + 5 * len(notes))
        self.ln(3)
        for note in notes:
            self._text(note, size=8.5, colour=MUTED)
            self.ln(5)

    # --- What these are made of ---------------------------------------------------------------------------------------
    def _keep_together(self, height: float) -> None:
        if self.will_page_break(height):
            self.add_page()

    def _heading(self, text: str) -> None:
        self._keep_together(24)
        self.start_section(fonts.written(text))
        self.ln(2)
        self._text(text, size=12, colour=ACCENT, bold=True)
        self.ln(8)

    def _text(
        self, text: str, size: float, colour: Sequence[int], align: Align = Align.L, *, bold: bool = False
    ) -> None:  # fmt: skip
        self.set_font(FAMILY, "B" if bold else "", size)
        self.set_text_color(*colour)
        self.cell(0, size * 0.45, self._fitting(fonts.written(text)), align=align, new_x=XPos.RIGHT, new_y=YPos.TOP)

    def _fitting(self, text: str) -> str:
        """Cut where it would leave the page."""
        room, kept = self.w - self.r_margin - self.get_x(), text
        while len(kept) > 1 and (width := self.get_string_width(kept)) > room:
            kept = kept[: min(len(kept) - 2, int(len(kept) * room / width))].rstrip() + "…"
        return kept

    def _table(self, table: Table, widths: Sequence[float], *, below: bool = False) -> None:
        """``below`` a heading of all, its own title stands in the head of the first column."""
        self.set_font(FAMILY, "", 8.5)
        self.set_text_color(*INK)
        self.set_draw_color(*LINE)
        head = (table.title, *table.head[1:]) if below else table.head
        style = FontFace(emphasis="BOLD", color=MUTED, fill_color=(255, 255, 255))
        if below:
            self._keep_together(LINE_HEIGHT * 1.6 * (1 + min(len(table.rows), 4)))
        with self.table(
            col_widths=tuple(widths), text_align=(Align.L, *[Align.R] * (len(head) - 1)), headings_style=style,
            borders_layout=TableBordersLayout.HORIZONTAL_LINES, line_height=LINE_HEIGHT, padding=(0.6, 1),
        ) as drawn:  # fmt: skip
            for row in (head, *table.rows):
                cells = drawn.row()
                for text in row:
                    cells.cell(fonts.written(text))
        self.ln(3)


def _widths(table: Table) -> Sequence[float]:
    others = len(table.head) - 1
    first = max(25, 100 - 15 * others)
    return (first, *[(100 - first) / others] * others)


def _with_changes(report: Report, group: Table) -> Table:
    names = [name for name, metric in METRICS.items() if metric.group == group.name and name in report.figures]
    changes = [_change(name, *report.figures[name])[0] for name in names]
    rows = [(*row, change) for row, change in zip(group.rows, changes, strict=True)]
    return Table(group.name, group.title, (*group.head, _("Change")), rows)


def _change(name: str, now: object, then: object) -> tuple[str, Sequence[int]]:
    """From the period before, and in the colour of good or bad news."""
    if not isinstance(now, (int, float)) or not isinstance(then, (int, float)):
        return "–", MUTED
    metric, more = METRICS[name], now > then
    if now == then:
        return _("unchanged"), MUTED
    if metric.unit == Unit.SHARE:
        text = _("%(points)s points") % {"points": formats.number_format(abs(now - then) * 100, 1)}
    elif then == 0:
        return _("none before"), MUTED
    else:
        text = f"{formats.number_format(abs(now / then - 1) * 100, 0, force_grouping=True)} %"
    is_good = metric.better == (Better.MORE if more else Better.LESS)
    colour = MUTED if metric.better == Better.NEITHER else GOOD if is_good else BAD
    return f"{'▲' if more else '▼'} {text}", colour
