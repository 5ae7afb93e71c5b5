"""What stress commands have in common: bounded arguments, loopback alone, what they print and keep, one meaning of exit
codes: 0 all that was wanted was found, 1 something was missed, 2 it could not run, 3 the run was too short to tell.
"""

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from chatbot_project.lib.descriptors import raise_limit

from ..bench_stack import StackError
from .machine import at_end
from .page import report_page
from .report import Report
from .text import report_text

Options = argparse.Namespace
Found = tuple[Report, Mapping[str, Any]]
NO_PARAMETERS = ("json", "html", "keep", "python", "parser")
REACHED, MISSED, COULD_NOT_RUN, UNCLEAR, STOPPED = 0, 1, 2, 3, 130


def between(least: float, most: float, kind: Callable[[str], Any] = int) -> Callable[[str], Any]:
    """An argument's type: a number from ``least`` to ``most``."""

    def bounded(word: str) -> Any:
        value = kind(word)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{word} is not between {least:g} and {most:g}")
        return value

    bounded.__name__ = kind.__name__
    return bounded


def command_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """With ``--json`` and ``--html``; ``doc`` is the module's, whose first line says what the command does."""
    parser = argparse.ArgumentParser(prog=name, description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots there")
    parser.set_defaults(parser=parser)  # options know by it what was changed
    return parser


def parameters_of(options: Options) -> dict[str, Any]:
    """What was asked for, without where it is written."""
    return {name: value for name, value in vars(options).items() if name not in NO_PARAMETERS}


def changed_parameters(options: Options) -> dict[str, Any]:
    """Those that are not the command's defaults."""
    parser = getattr(options, "parser", None)
    if parser is None:
        return {}
    return {name: value for name, value in parameters_of(options).items() if value != parser.get_default(name)}


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[Options], Found],
    arguments: Sequence[str] | None,
    code_of: Callable[[Report], int] | None = None,
) -> int:
    """Run, print the report, keep it; returns the exit code, ``exit_code`` unless ``code_of`` tells another. What
    ``run`` raises as StackError or ValueError is why it could not."""
    options = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        parser.error("processor time and memory are read from Linux's /proc; run it on Linux")
    signal.signal(signal.SIGTERM, _interrupt)
    raise_limit()
    try:
        report, figures = run(options)
    except (StackError, ValueError) as error:
        print(error, file=sys.stderr)
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return STOPPED
    report = _measured(report)
    print(report_text(report))
    keep(report, figures, options)
    return (code_of or exit_code)(report)


def exit_code(report: Report) -> int:
    said = {check.passed for check in report.checks}
    return MISSED if False in said else UNCLEAR if None in said else REACHED


def keep(report: Report, figures: Mapping[str, Any], options: Options) -> None:
    """Write what ``--json`` and ``--html`` ask for. The JSON has the figures, and the report without its tables but
    with the parameters that were ``changed``. To be called when what was started has ended: what others used is
    measured until now."""
    report = _measured(report)
    for path in filter(None, (options.json, options.html)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if options.json is not None:
        summary = report.summary() | {"changed": changed_parameters(options)}
        whole = {"report": summary, **figures}
        options.json.write_text(json.dumps(whole, indent=1, ensure_ascii=False, default=str) + "\n")
    if options.html is not None:
        options.html.write_text(report_page(report))


def _measured(report: Report) -> Report:
    return dataclasses.replace(report, machine=at_end(report.machine))


def say(what: str) -> None:
    """Progress, apart from the result."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
