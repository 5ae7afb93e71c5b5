"""What runs on GitHub: workflows that it takes and that give nobody more than they need, and what a release says."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
TOOLS = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: (\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)( # zizmor: .*)?")
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))
DIGESTS = runpy.run_path(str(ROOT / ".ci" / "pin_digests.py"))
NEW, OLD = (f"sha256:{letter * 64}" for letter in "ab")
PYPROJECT = '[project]\nversion = "1.2.3"\n'


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ],
)
def test_workflows_are_as_github_says(schema: str, files: list[Path]) -> None:
    done = run(TOOLS / "check-jsonschema", "--builtin-schema", schema, *files)
    assert done.returncode == 0, done.stdout


def test_workflows_have_nothing_that_their_linter_complains_of() -> None:
    done = run(TOOLS / "zizmor", "--quiet", "--offline", "--strict-collection", ".github")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_a_commit_and_say_of_which_version(workflow: Path) -> None:
    for line in workflow.read_text().splitlines():
        if "uses:" in line:
            assert PINNED.fullmatch(line.strip().removeprefix("- ")), line


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_end_by_themselves_and_may_only_read(workflow: Path) -> None:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())
    assert found["permissions"] == {"contents": "read"}
    for name, job in found["jobs"].items():
        assert "timeout-minutes" in job or "uses" in job, name
        assert name in {"image", "release", "pin"} or "permissions" not in job, name


def workflow(name: str) -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    return found | {"on": found.pop(True)}  # YAML takes the word for a truth


def test_nothing_is_released_that_was_not_tested_looked_through_and_started() -> None:
    jobs = workflow("release")["jobs"]
    called = {name: Path(job["uses"]).stem for name, job in jobs.items() if "uses" in job}
    assert set(called.values()) == {"ci", "security", "image"}
    assert all("workflow_call" in workflow(name)["on"] for name in called.values())
    assert set(jobs["image"]["needs"]) == set(called)


def test_an_image_is_started_when_anything_changes_that_is_in_it() -> None:
    paths = set(workflow("image")["on"]["pull_request"]["paths"])
    inside = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert len(inside) > 10
    for name in inside:
        assert {name, f"{name}/**", f"{name.partition('/')[0]}/**"} & paths, name


def test_the_images_name_has_no_capitals(tmp_path: Path) -> None:
    (step,) = (step for step in workflow("release")["jobs"]["image"]["steps"] if step.get("id") == "name")
    told = tmp_path / "output"
    subprocess.run(
        ["bash", "-e", "-c", step["run"]], check=True,
        env={"GITHUB_REPOSITORY": "Example-Org/Nono", "GITHUB_OUTPUT": str(told)},
    )  # fmt: skip
    assert told.read_text() == "name=ghcr.io/example-org/nono\n"


# --- images of others


def test_every_image_of_others_stands_where_newer_ones_are_looked_for() -> None:
    """In compose files by the names that dependabot knows them by, and beside `image:` in manifests."""
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    looked_in = {each["package-ecosystem"]: each.get("directories") for each in updates}
    for path in DIGESTS["files"](ROOT):
        if DIGESTS["IMAGE"].search(path.read_text()):
            is_compose = re.search(r"(docker-)?compose(-\w+)?(\.[\w-]+)?\.ya?ml$", path.name)
            folder = "/" + str(path.parent.relative_to(ROOT)).removeprefix(".")
            assert folder in looked_in["docker-compose" if is_compose else "docker"], path
    for overlay in (ROOT / "deploy" / "k8s").rglob("kustomization.yaml"):
        named = {image["name"] for image in yaml.safe_load(overlay.read_text()).get("images", [])}
        assert named <= {"nono"}, overlay


def test_digests_are_written_beside_tags_and_renewed() -> None:
    text = (
        f"# syntax=docker/dockerfile:1.7\nARG PYTHON=python:3.11-slim@{OLD}\nARG UV=0.13.8\n"
        "FROM ${PYTHON} AS packages\nFROM packages AS sbom\nFROM caddy:2 AS proxy\nCOPY --from=packages /a /b\n"
        f"  image: registry.example.org:5000/team/redis:7.2@{OLD}\n"
        "  image: ${NONO_IMAGE:-nono:local}\n  image: nono\n"
    )
    assert list(DIGESTS["bare"](text)) == ["docker/dockerfile:1.7", "caddy:2"]
    asked: list[str] = []
    made = DIGESTS["pinned"](text, lambda image: asked.append(image) or NEW)
    assert asked == ["docker/dockerfile:1.7", "python:3.11-slim", "caddy:2", "registry.example.org:5000/team/redis:7.2"]
    assert made.count(f"@{NEW}") == 4
    assert OLD not in made
    assert list(DIGESTS["bare"](made)) == []
    assert made.replace(f"@{NEW}", "") == text.replace(f"@{OLD}", "")


def test_what_lacks_a_digest_is_named_and_not_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.11\n")
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  redis:\n    image: redis:7.2@{NEW}\n")
    assert DIGESTS["main"](["--check"], tmp_path) == 1
    assert capsys.readouterr().err == "Dockerfile: python:3.11 has no digest; run .ci/pin_digests.py\n"
    (tmp_path / "Dockerfile").write_text(f"FROM python:3.11@{NEW}\n")
    assert DIGESTS["main"](["--check"], tmp_path) == 0
    runs = [step.get("run") for step in workflow("release")["jobs"]["notes"]["steps"]]
    assert "python .ci/pin_digests.py --check" in runs


def test_an_answer_that_is_no_digest_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho $DIGEST\n")
    (tmp_path / "docker").chmod(0o700)
    (tmp_path / "Dockerfile").write_text("FROM python:3.11\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DIGEST", "no such manifest")
    with pytest.raises(ValueError, match="is no digest"):
        DIGESTS["main"]([], tmp_path)
    assert (tmp_path / "Dockerfile").read_text() == "FROM python:3.11\n"
    monkeypatch.setenv("DIGEST", NEW)
    assert DIGESTS["main"]([], tmp_path) == 0
    assert (tmp_path / "Dockerfile").read_text() == f"FROM python:3.11@{NEW}\n"


def test_every_document_is_made_a_page_on_each_change() -> None:
    assert [step.get("run") for step in workflow("docs")["jobs"]["pages"]["steps"]][-1] == "make docs"
    assert workflow("docs")["on"]["pull_request"] is None


def test_a_release_says_what_the_changelog_says() -> None:
    changelog = (
        "# Changelog\n\n## 1.3.0 (unreleased)\n\n## 1.2.3 (2027-01-15)\n\n- New.\n\n## 1.2.2 (2027-01-01)\n\n- Old.\n"
    )
    assert RELEASE["notes"]("v1.2.3", changelog, PYPROJECT) == "- New.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "reason"),
    [
        ("v1.2.4", "## 1.2.4 (2027-01-15)\n\n- New.\n", "pyproject.toml says 1.2.3"),
        ("v1.2.3", "## 1.2.3 (unreleased)\n\n- New.\n", "no day"),
        ("v1.2.3", "## 1.2.3 (2027-01-15)\n\n## 1.2.2 (2027-01-01)\n\n- Old.\n", "says nothing"),
        ("v1.2.3", "## 1.2.2 (2027-01-01)\n\n- Old.\n", "does not know"),
    ],
)
def test_what_is_not_ready_is_not_released(tag: str, changelog: str, reason: str) -> None:
    notes: Callable[[str, str, str], str] = RELEASE["notes"]
    with pytest.raises(RELEASE["NotReleasable"], match=reason):
        notes(tag, changelog, PYPROJECT)


def test_the_changelog_knows_the_version_that_there_is() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert re.search(rf"^## {re.escape(version[1])} \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
