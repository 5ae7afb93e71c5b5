"""A report as one HTML file that needs nothing else: no script, nothing from elsewhere."""

from collections.abc import Sequence
from html import escape

from .machine import machine_line
from .plots import plot_svg
from .report import Cell, Check, Plot, Report, Table, shown

STYLE = """
:root { color-scheme: light dark; --line: #8886; --c0: #2563eb; --c1: #c2410c; --c2: #15803d; --c3: #9333ea;
  --c4: #a16207; --c5: #0e7490; --good: #15803d; --bad: #b91c1c; --ground: #fff; --ink: #1a1a1a; }
@media (prefers-color-scheme: dark) { :root { --c0: #7aa7ff; --c1: #ff9a5c; --c2: #5fd68a; --c3: #cf9bff;
  --c4: #e5b93c; --c5: #4fd1e0; --good: #5fd68a; --bad: #ff8a80; --ground: #16181c; --ink: #e8e8e8; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--ground); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 9rem; }
.reached { color: var(--good); } .missed { color: var(--bad); font-weight: 600; }
.note, footer { font-size: .875rem; } footer { margin-top: 2rem; overflow-wrap: anywhere; }
figure { margin: 0; }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; margin: .25rem 0; list-style: none; }
.keys li::before { content: ""; display: inline-block; width: 1rem; height: .2rem; margin-right: .4rem;
  vertical-align: middle; background: var(--key); }
.plot-picture { display: block; width: 100%; min-width: 32rem; height: auto; fill: var(--ink); }
.plot-picture .background { fill: none; } .plot-picture text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.plot-picture .guide, .plot-picture .axis path { stroke: var(--line); fill: none; }
.plot-picture .series path { fill: none; stroke-width: 2; }
""" + "".join(
    f".key-{number} {{ --key: var(--c{number}); }} "
    f".plot-picture .serie-{number} path {{ stroke: var(--c{number}); }} "
    f".plot-picture .serie-{number} circle {{ fill: var(--c{number}); }}\n"
    for number in range(6)
)


def report_page(report: Report) -> str:
    """The whole report."""
    parameters = ", ".join(f"{name} {value}" for name, value in report.parameters.items())
    body = "".join([*map(_table, report.tables), *map(_plot, report.plots)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(report.title)}</h1><p>{escape(report.headline)}</p>"
        f"{_checks(report.checks)}{body}"
        f"<footer><p>{escape(machine_line(report.machine))}</p><p>{escape(report.name)}: {escape(parameters)}</p>"
        "</footer></body></html>\n"
    )


def _checks(checks: Sequence[Check]) -> str:
    rows = "".join(_check(check) for check in checks)
    head = _row("th", ("Wanted", "", "limit", "found"))
    return f'<h2>Wanted and found</h2><div class="scroll" tabindex="0"><table>{head}{rows}</table></div>'


def _check(check: Check) -> str:
    kind = escape(check.verdict.lower().replace(" ", "-"))
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in (check.limit, check.found))
    return f'<tr><td>{escape(check.name)}</td><td class="{kind}">{escape(check.verdict)}</td>{cells}</tr>'


def _table(table: Table) -> str:
    rows = "".join(_row("td", row) for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    grid = f'<div class="scroll" tabindex="0"><table>{_row("th", table.head)}{rows}</table></div>'
    return f"<h2>{escape(table.title)}</h2>{grid}{note}"


def _row(kind: str, cells: Sequence[Cell]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(shown(cell))}</{kind}>' for cell in cells)}</tr>"


def _plot(plot: Plot) -> str:
    picture = plot_svg(plot)
    if not picture:
        return ""
    keys = "".join(f'<li class="key-{number}">{escape(series.name)}</li>' for number, series in enumerate(plot.series))
    return (
        f'<figure><h2>{escape(plot.title)}</h2><ul class="keys">{keys}</ul>'
        f'<div class="scroll" tabindex="0">{picture}</div></figure>'
    )
