"""What the image is made of, without Docker: what .dockerignore lets in of the checkout, and what the Dockerfile says.

Patterns are read as Docker reads them: from the root, the last that speaks of a path or of a folder above it decides.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)
_PIECE = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Rule:
    """A line of .dockerignore."""

    text: str
    lets_in: bool

    def speaks_of(self, path: str) -> bool:
        """Of ``path`` itself, or of a folder that it is in."""
        pattern = "".join(_MEANS.get(piece, re.escape(piece)) for piece in _PIECE.findall(self.text))
        return re.fullmatch(f"{pattern}(?:/.*)?", path) is not None


def rules_of(text: str) -> list[Rule]:
    """Raises ValueError for sets of characters and escapes, which are not read here."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    if odd := [line for line in lines if set(line) & set("[]\\")]:
        raise ValueError(f"not read here: {odd[0]}")
    return [Rule(line.removeprefix("!").strip().strip("/"), line.startswith("!")) for line in lines if line]


def is_let_in(path: str, rules: list[Rule]) -> bool:
    """Whether a file or folder, by its path from the root, goes into the build."""
    spoken = [rule for rule in rules if rule.speaks_of(path)]
    return not spoken or spoken[-1].lets_in


def files_of_the_image() -> Iterator[Path]:
    """From the root."""
    rules = rules_of((ROOT / ".dockerignore").read_text())
    for folder, folders, files in os.walk(ROOT):
        place = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if _is_looked_into(str(place / name), rules)]
        yield from (place / name for name in files if is_let_in(str(place / name), rules))


def copy_image(target: Path) -> None:
    """What ``COPY . .`` brings into the image."""
    for file in files_of_the_image():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, target / file)


def last_stage() -> str:
    """Of the Dockerfile: what the image itself is made by."""
    return _joined((ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2])


def image_environment() -> dict[str, str]:
    """What the image sets for each process."""
    lines = re.findall(r"^ENV (.*)$", last_stage(), re.MULTILINE)
    return dict(part.split("=", 1) for line in lines for part in shlex.split(line))


def build_command() -> str:
    """What is run on the code in the image."""
    stage = (ROOT / "Dockerfile").read_text().partition(" AS application\n")[2].partition("\nFROM ")[0]
    (command,) = re.findall(r"^RUN (.*)$", _joined(stage), re.MULTILINE)
    return str(command)


def copied_from_the_checkout() -> set[str]:
    """What the Dockerfile's stages name of it."""
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", _joined((ROOT / "Dockerfile").read_text()), re.MULTILINE)
    return {name for line in lines for name in line.split()}


def _is_looked_into(folder: str, rules: list[Rule]) -> bool:
    below = any(rule.lets_in and (rule.text.startswith(f"{folder}/") or "**" in rule.text) for rule in rules)
    return below or is_let_in(folder, rules)


def _joined(text: str) -> str:
    return text.replace("\\\n", " ")
