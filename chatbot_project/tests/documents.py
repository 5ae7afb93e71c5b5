"""What documents tell to run: every command of their code blocks, and by whom each is run, or why it is not.

A block of ``sh`` or ``console`` has commands, one of ``python`` or ``sql`` is run as a whole, and so is
one of nothing but settings. In a block that has prompts (``$``) what follows a command is what it prints. A test that
runs some of them takes them from here (``running``), so that one that changes is run as it stands by then.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("sh", "console")
WHOLE = ("python", "sql")
SETTING = re.compile(r"[A-Z][A-Z0-9_]+=\S.*")
COMMENT = re.compile(r"\s+# .*$")


@dataclass(frozen=True)
class Command:
    """``text`` as it stands on the page, with the comments below it; ``output`` what the page says that it prints.
    ``kind`` is ``shell``, ``settings``, ``python`` or ``sql``."""

    page: str
    kind: str
    text: str
    output: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """In one line, without comments."""
        lines = [line for line in self.text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
        return " ".join(" ".join(COMMENT.sub("", line).split()) for line in lines)

    @property
    def words(self) -> list[str]:
        """As a shell hands them over, where it does nothing else. Raises ValueError where it does more."""
        text = self.text.replace("\\\n", " ")
        words = list(shlex.shlex(text, posix=True, punctuation_chars=True))
        if any(set(word) <= set("();<>|&") for word in words) or "$" in text or "`" in text:
            raise ValueError(f"more than one command: {text}")
        return shlex.split(text, comments=True)

    @property
    def settings(self) -> dict[str, str]:
        """Those that stand before a command."""
        found = {}
        for word in shlex.split(self.text, comments=True):
            name, sign, value = word.partition("=")
            if not sign or not re.fullmatch("[A-Z][A-Z0-9_]+", name):
                break
            found[name] = value
        return found

    def __str__(self) -> str:
        return f"{self.page}: {self.text.partition(chr(10))[0]}"


@cache
def commands() -> tuple[Command, ...]:
    """Of all pages, in the order of their contents' names."""
    return tuple(command for page in PAGES for command in commands_in(page, (ROOT / page).read_text()))


def commands_in(page: str, text: str) -> Iterator[Command]:
    for language, block in BLOCK.findall(text):
        if language in WHOLE:
            yield Command(page, language, block)
        elif language in SHELLS:
            lines = block.splitlines()
            if all(SETTING.fullmatch(line) for line in lines) and not any(" make " in line for line in lines):
                yield Command(page, "settings", block)
            else:
                yield from _of_a_shell(page, lines)


def _of_a_shell(page: str, lines: Sequence[str]) -> Iterator[Command]:
    prompts = any(line.startswith("$ ") for line in lines)
    text: list[str] = []
    output: list[str] = []
    for line in lines:
        begins = line.startswith("$ ") if prompts else not (_goes_on(text) or line.startswith("#"))
        if begins and text:
            yield Command(page, "shell", "\n".join(text), tuple(output))
            text, output = [], []
        if begins or not prompts or _goes_on(text):
            text.append(line.removeprefix("$ "))
        else:
            output.append(line)
    yield Command(page, "shell", "\n".join(text), tuple(output))


def _goes_on(text: Sequence[str]) -> bool:
    """Whether the next line belongs to the same command."""
    if not text:
        return False
    is_open = text[0].startswith("for ") and text[-1] != "done"
    return is_open or text[-1].endswith(("\\", "|", "&&"))


@dataclass(frozen=True)
class Entry:
    """Commands of a page (``*`` of any) that ``pattern`` finds; ``what`` is who runs them, or why nobody does here."""

    page: str
    pattern: str
    what: str

    def covers(self, command: Command) -> bool:
        return self.page in ("*", command.page) and re.search(self.pattern, command.plain) is not None


#: Who runs what: names that tests give to ``running``.
RUN = [
    Entry("docs/api.md", r"^curl ", "guide"),
    Entry("README.md", r"^make run$", "installation"),
    Entry("docs/index.md", r"^make run$", "installation"),
    Entry("docs/monitoring.md", r"^METRICS_PORT=\d+ make run$|^curl |^grep ", "installation"),
    Entry("docs/doctor.md", r"manage\.py doctor$", "installation"),
    Entry("docs/administer.md", r"manage\.py createsuperuser", "installation"),
    Entry("docs/openai.md", r"^curl |^from openai ", "installation"),
    Entry("README.md", r"^\S+=.* make run$", "settings"),
    Entry("docs/monitoring.md", r"^TRACING=.* make run$", "settings"),
    Entry("docs/deploy-cloud.md", r"^(DATABASE|REDIS)_URL=", "settings"),
    Entry("docs/deploy-gpu.md", r"^(OLLAMA_HOST|LLM_PROVIDERS)=", "settings"),
    Entry("README.md", r"manage\.py import_faqs", "commands"),
    Entry("docs/doctor.md", r"manage\.py maintenance", "commands"),
    Entry("docs/audit.md", r"^CREATE ROLE ", "commands"),
    Entry("docs/backup.md", r"^\S+python manage\.py (backup|restore) ", "backups"),
    Entry("docs/scaling.md", r"manage\.py partition", "partitions"),
    Entry("docs/upgrading.md", r"^curl ", "green"),
    Entry("docs/deploy.md", r"^\(umask 077; sh deploy/new_env\.sh ", "deploying"),
    Entry("docs/deploy-kubernetes.md", r"^\(umask 077; sh deploy/new_env\.sh |^cp -r |^\{ printf ", "deploying"),
    Entry("docs/deploy.md", r"^WEB_REPLICAS=", "replicas"),
]

#: What is not run, and why not here.
LEFT_OUT = [
    Entry("*", r"^docker ", "needs a Docker engine; see test_compose_processes.py"),
    Entry("docs/deploy.md", r"^NONO_IMAGE=\S+ docker ", "needs a Docker engine"),
    Entry("docs/deploy.md", r"^python3 \.ci/pin_digests\.py$", "asks registries; see test_workflows.py"),
    Entry("*", r"^kubectl ", "needs a cluster; see test_kubernetes.py"),
    Entry("docs/deploy-kubernetes.md", r"^curl ", "needs a cluster, and a host's name that leads to it"),
    Entry("README.md", r"^git clone ", "its address is that of whoever publishes it"),
    Entry("docs/deploy.md", r"^git pull && docker ", "needs a remote to pull from, and a Docker engine"),
    Entry("README.md", r"^make test$", "is the run that this belongs to"),
    Entry("docs/backup.md", r"\| age ", "needs age and somebody's key"),
    Entry("docs/backup.md", r"^0 2 \* \* \* .*(rsync|docker)", "goes to another host, or needs a Docker engine"),
    Entry("docs/api.md", r"stress_tests\.ws_conformance", "takes half a minute; see test_ws_conformance.py"),
    Entry("docs/benchmarks.md", r"^make bench", "takes minutes and two quiet processors"),
    Entry("docs/benchmarks.md", r"stress_tests\.bench_servers", "takes minutes; see test_bench_servers.py"),
    Entry("docs/benchmarks.md", r"pip install -r requirements-granian\.txt$", "downloads a package"),
    Entry("docs/scaling.md", r"^make bench|stress_tests\.(scale_out_test|bench_servers)", "takes two quiet processors"),
    Entry("docs/scaling.md", r"^python -m stress_tests\.scaling ", "takes a minute; see test_scaling.py"),
    Entry("docs/chaos.md", r"stress_tests\.(chaos|soak|drain)_test", "takes minutes; see stress_tests/tests"),
    Entry("docs/stress.md", r"stress_tests\.\w+", "takes minutes; see stress_tests/tests"),
    Entry("docs/stress.md", r"^python3 -m venv ", "downloads packages"),
]  # fmt: skip


@contextmanager
def running(name: str) -> Iterator["Running"]:
    """The commands that are entered for ``name``; fails where one of them was not taken in the end."""
    found = Running([command for command in commands() if any(e.what == name and e.covers(command) for e in RUN)])
    yield found
    assert found.left == [], "not run"


class Running:
    """Commands that wait to be run. ``left`` are those that nobody has taken yet."""

    def __init__(self, found: Sequence[Command]) -> None:
        assert found, "no document has any"
        self.left = list(found)

    def take(self, page: str, part: str = "") -> Command:
        """The next one of ``page`` that has ``part`` in it."""
        command = next(each for each in self.left if each.page == page and part in each.plain)
        self.left.remove(command)
        return command

    def take_all(self, page: str = "") -> Iterator[Command]:
        for command in [each for each in self.left if not page or each.page == page]:
            self.left.remove(command)
            yield command


def alike(told: Sequence[str], said: str) -> bool:
    """Whether ``said`` has the lines that a page tells of, in their order, whatever their numbers and places are."""
    lines = iter([_without_numbers(line) for line in said.splitlines()])
    return all(_without_numbers(line) in lines for line in told if line != "…")


def _without_numbers(line: str) -> str:
    line = re.sub(r"(?<=Z)-\d+\b", "", line)  # of two backups of one second the second
    return re.sub(r"\d+(?:[.,]\d+)*", "0", re.sub(r"\S*/(?=nono-\d)", "", re.sub(r"“\w+”", "“”", line)))
