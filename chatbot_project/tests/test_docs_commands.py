"""Documents name only what there is: commands and their options, targets of make, modules, services, what runs on
Kubernetes, settings, files and headings."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class

from chatbot_project.tests.cluster import K8S, OVERLAYS, render, render_folder

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What runs what documents tell to run.
SCRIPTS = [
    *(ROOT / name for name in ("Dockerfile", "docker-compose.yml", ".env.example", ".ci/run")),
    *sorted((ROOT / ".github").rglob("*.yml")),
    *sorted((ROOT / "deploy").rglob("*.y*ml")),
]
COMPOSE = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy" / "gpu").glob("*.yml"))]
COMMAND = re.compile(r"manage\.py (?!and\b)([a-z][a-z_]+)([^`\n]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
#: Where the command's own line ends.
END = re.compile(r"&&|\|\||[|;#>)\]]| -- ")
TARGET = re.compile(r"(?:^|[`$(]\s*|&& )make ([a-z][a-z-]*)\b", re.MULTILINE)
MODULE = re.compile(r"python -m ((?:stress_tests|docs)[\w.]*)")
_OPTIONS = r"(?: --?[\w-]+(?:[= ]\w+=\d+)?)*"
SERVICES = re.compile(rf"docker compose[^\n]*? (?:up|stop|logs|restart){_OPTIONS}((?: [a-z]+)*)")
SERVICE = re.compile(rf"docker compose[^\n]*? (?:exec|run){_OPTIONS}((?: [a-z]+)?)")
NAMED = re.compile(r"\b(deployment|deploy|job|cronjob)[/ ](nono-[a-z]+)")
GIVEN = re.compile(r" -[kf] (deploy/\S+)")
SETTING = re.compile(r"^([A-Z][A-Z0-9_]+)=", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def options_of(name: str) -> set[str]:
    app = get_commands()[name]
    parser = load_command_class(app, name).create_parser("manage.py", name) if isinstance(app, str) else None
    assert parser is not None
    return {option for action in parser._actions for option in action.option_strings}


def plain(text: str) -> str:
    """With lines that a backslash continues made one."""
    return re.sub(r"\\\n\s*", "", text)


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=label)
def test_commands_and_their_options_exist(path: Path) -> None:
    for name, rest in COMMAND.findall(plain(path.read_text())):
        assert name in get_commands(), f"manage.py {name}"
        wanted = set(OPTION.findall(END.split(rest)[0]))
        assert wanted <= options_of(name), f"manage.py {name} {wanted - options_of(name)}"


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=label)
def test_targets_of_make_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(path.read_text())) <= targets


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=label)
def test_modules_that_are_run_exist(path: Path) -> None:
    for name in MODULE.findall(path.read_text()):
        assert importlib.util.find_spec(name), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_what_is_started_and_looked_at_exists(path: Path) -> None:
    text = plain(path.read_text())
    services = {name for file in COMPOSE for name in yaml.safe_load(file.read_text())["services"]}
    for words in SERVICES.findall(text) + SERVICE.findall(text):
        assert set(words.split()) <= services, f"docker compose … {words}"
    assert set(NAMED.findall(text)) <= on_kubernetes()
    for name in GIVEN.findall(text):
        assert name == "deploy/k8s/overlays/ours" or (ROOT / name).exists(), name


@cache
def on_kubernetes() -> set[tuple[str, str]]:
    """What there is, by each word for its kind, and its name."""
    rendered = [render(name) for name in OVERLAYS] + [render_folder(K8S / "vllm")]
    found = {(item["kind"].lower(), item["metadata"]["name"]) for one in rendered for item in one.resources}
    return found | {("deploy", name) for kind, name in found if kind == "deployment"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_settings_in_examples_are_read_by_something(path: Path) -> None:
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', (ROOT / "chatbot_project" / "settings.py").read_text()))
    read |= {name for file in COMPOSE for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        assert set(SETTING.findall(block)) <= read


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_links_lead_somewhere(path: Path) -> None:
    for file, heading in LINK.findall(path.read_text()):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        if heading and target.suffix == ".md":
            assert heading in headings(target), f"{file}#{heading}"


@cache
def headings(path: Path) -> set[str]:
    """As GitHub names them in addresses."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in found}
