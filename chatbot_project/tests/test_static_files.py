"""Static files as a production installation names them."""

import re
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command


@pytest.mark.slow
def test_modules_import_each_other_by_names_that_hold_their_hash(settings: LazySettings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = str(tmp_path)
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "chatbot_project.static_files.StaticFilesStorage"}
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    hashed = [path for path in (tmp_path / "js").glob("*.js") if re.search(r"\.[0-9a-f]{12}\.js$", path.name)]
    imports = [(path, name) for path in hashed for name in re.findall(r'from "\./([^"]+)"', path.read_text())]
    assert imports
    for path, name in imports:
        assert re.search(r"\.[0-9a-f]{12}\.js$", name), f"{path.name} imports {name}"
        assert (tmp_path / "js" / name).exists()
