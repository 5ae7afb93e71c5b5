"""What a pod on Kubernetes runs before its process: it lets none start on other tables than its version's, nor before
erasures were done again. The overlay's own command, against a real database."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection

from accounts.privacy import erasure_log
from accounts.tests.factories import make_user
from chatbot_project.embedded.paths import default_database_url
from chatbot_project.tests.cluster import Rendered, render


@pytest.fixture(scope="module")
def small() -> Rendered:
    return render("small")


def start(small: Rendered, database: str, **settings_of_it: str) -> subprocess.CompletedProcess[str]:
    """Run the init container's command."""
    (container,) = small.pods["web"]["spec"]["initContainers"]
    url = default_database_url(Path(os.environ["VAR_DIR"])).replace("/nono?", f"/{database}?")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"DATABASE_URL": url, "PATH": path} | settings_of_it
    return subprocess.run(
        container["command"], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False
    )


def test_no_pod_starts_without_the_tables_of_its_version(small: Rendered, transactional_db: None) -> None:
    assert start(small, "postgres").returncode != 0


def test_a_pod_starts_but_not_while_erasures_are_to_be_done_again(
    small: Rendered, transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ERASURE_LOG", tmp_path / "erasures.jsonl")
    entry = erasure_log.note_begun(uuid4(), make_user())
    name = connection.settings_dict["NAME"]
    done = start(small, name, ERASURE_LOG=str(tmp_path / "erasures.jsonl"))
    assert done.returncode == 0, done.stderr
    entry.delete()  # as a restored backup lacks it
    done = start(small, name, ERASURE_LOG=str(tmp_path / "erasures.jsonl"))
    assert done.returncode != 0
    assert "run manage.py replay_erasures" in done.stderr
