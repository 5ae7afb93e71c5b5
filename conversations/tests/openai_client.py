"""OpenAI's own SDK, the ``llm`` tool and curl, as people use them against a running server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

from accounts import api_keys
from accounts.models import User
from accounts.scopes import Scope


def make_key(user: User, *scopes: Scope) -> str:
    """A new API key of ``user``, good for reading and asking unless told otherwise."""
    return api_keys.create_key(user=user, name="sdk", scopes=scopes or (Scope.READ, Scope.CHAT))[1]


def sync_client(url: str, key: str) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def async_client(url: str, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def asked(persona: Any, text: str = "Hello?", **more: Any) -> dict[str, Any]:
    """The arguments of a chat completion."""
    return {"model": f"persona:{persona.slug}", "messages": [{"role": "user", "content": text}], **more}


def run_llm(home: Path, url: str, key: str, model: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``llm -m nono …`` in a home of its own, set up as docs/openai.md says."""
    extra = [{"model_id": "nono", "model_name": model, "api_base": f"{url}/v1", "api_key_name": "nono"}]
    (home / "extra-openai-models.yaml").write_text(json.dumps(extra))  # JSON is YAML
    environment = {**os.environ, "LLM_USER_PATH": str(home), "LLM_LOAD_PLUGINS": ""}  # ours brings a plugin's weights
    command = [sys.executable, "-m", "llm", "-m", "nono", "--key", key, *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_curl(url: str, key: str, body: dict[str, Any]) -> str:
    """What ``curl -N`` prints for a chat completion."""
    headers = ["-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"]
    command = ["curl", "-sN", f"{url}/v1/chat/completions", *headers, "-d", json.dumps(body)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
