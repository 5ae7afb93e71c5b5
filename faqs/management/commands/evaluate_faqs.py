import json
import signal
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from chatbot_project.lib.errors import ApplicationError
from faqs.evaluation import LIMIT, evaluate
from faqs.evaluation_files import BadEvaluationFile, read_sample

HELP = f"""\
Measure how well questions find their FAQ, in a scratch schema of the configured database.

The live FAQ is neither read nor changed. Files are CSV in UTF-8 with the columns text and label (or category).
Each label is one FAQ: its question is the label with spaces for underscores, its phrasings are the rows.

Every question is asked as a reader's is, with retrieval alone and then with the matcher. Shares are fractions
from 0 to 1:
  top1, top3     the right FAQ is the first, or among the first three
  mrr            mean of 1/place of the right FAQ within the first {LIMIT}
  fallback_rate  questions that have an answer and fall below FAQ_FLOOR
  oos_recall     questions without an answer that fall below FAQ_FLOOR; null where none were asked
  ece            expected calibration error of the first FAQ's confidence, for questions that have an answer
  p50_ms, p95_ms milliseconds per question, the embedding of it included
  direct         what a persona in direct mode would answer by itself, at FAQ_DIRECT_CONFIDENCE
"""


class Command(BaseCommand):
    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter  # keeps the list above a list
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--faqs", type=Path, required=True, metavar="FILE", help="the phrasings to load")
        parser.add_argument("--questions", type=Path, required=True, metavar="FILE", help="the questions to ask")
        parser.add_argument("--out-of-scope", type=Path, metavar="FILE", help="questions that no FAQ answers (text)")
        parser.add_argument("--per-faq", type=_whole, metavar="K", help="load only K phrasings of each FAQ")
        parser.add_argument(
            "--hide-labels", type=_part, default=0.0, metavar="PART",
            help="leave out this part of the FAQs, such as 0.2, and ask their questions as out of scope",
        )  # fmt: skip
        parser.add_argument("--limit", type=_whole, metavar="N", help="ask only N of the questions")
        parser.add_argument("--seed", type=int, default=0, help="draws phrasings, hidden FAQs and questions (0)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Print the figures. Raises CommandError, and so exits with 1, for files and databases that will not do."""
        try:
            sample = read_sample(
                faqs=options["faqs"],
                questions=options["questions"],
                out_of_scope=options["out_of_scope"],
                per_faq=options["per_faq"],
                hide_labels=options["hide_labels"],
                limit=options["limit"],
                seed=options["seed"],
            )
            with _ended_by_signals() as end_if_told:

                def progress(step: str, done: int, total: int) -> None:
                    end_if_told()
                    self._progress(step, done, total)

                figures = evaluate(sample, progress=progress)
        except BadEvaluationFile as error:
            raise CommandError(str(error)) from None
        except ApplicationError as error:
            raise CommandError(error.detail) from None
        except DatabaseError as error:
            raise CommandError(f"The database refused: {error}") from None
        self.stdout.write(_as_json(figures) if json else _as_table(figures))

    def _progress(self, step: str, done: int, total: int) -> None:
        if not self.stderr.isatty():
            return
        self.stderr.write(f"\r{step}: {done}/{total}   ", ending="\n" if done == total else "")
        self.stderr.flush()


def _as_json(figures: dict[str, Any]) -> str:
    return json.dumps(figures, indent=2)


def _as_table(figures: dict[str, Any]) -> str:
    size, seconds, direct = figures["size"], figures["seconds"], figures["direct"]
    lines = [
        f"{size['faqs']} FAQs, {size['phrasings']} phrasings; {size['questions']} questions, "
        f"{size['out_of_scope']} out of scope",
        "  ".join(f"{step} {value:.1f} s" for step, value in seconds.items()),
        "",
        f"{'':<15}{'retrieval':>10}{'matcher':>10}",
    ]
    lines += [
        f"{name:<15}{_shown(figures['retrieval'][name]):>10}{_shown(figures['matcher'][name]):>10}"
        for name in figures["retrieval"]
    ]
    lines += ["", f"direct answers from a confidence of {direct['confidence']:g}"]
    lines += [
        f"{name:<15}{_shown(direct['retrieval'][name]):>10}{_shown(direct['matcher'][name]):>10}"
        for name in direct["retrieval"]
    ]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[], None]]:
    """Have SIGTERM and a closed terminal end the work as Ctrl-C does, in order, with the schema dropped: CommandError.

    Each is a KeyboardInterrupt at first, upon which psycopg cancels the query that is running. What that breaks on its
    way out may raise errors of its own, which then say nothing. One that comes in a destructor Python swallows: what is
    yielded raises it again, and is to be called at every step of the work.
    """
    heard: list[int] = []

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        heard.append(number)
        raise KeyboardInterrupt

    def end_if_told() -> None:
        if heard:
            raise KeyboardInterrupt

    try:
        before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    except ValueError:  # not the main thread, which alone hears of signals
        before = {}
    try:
        yield end_if_told
        end_if_told()
    except BaseException:
        if heard:
            raise CommandError("Stopped; nothing is left behind.", returncode=128 + heard[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError("a whole number from 1 on")
    return int(text)


def _part(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ArgumentTypeError("a part from 0 to below 1, such as 0.2")
    return value
