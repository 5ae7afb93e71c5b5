"""``curl -N`` and the ``llm`` command line against real processes."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts.models import User
from personas.models import Persona
from stress_tests.fake_model import FakeModelServer
from stress_tests.fake_script import Script

from .openai_client import asked, make_key, run_curl, run_llm
from .stack import Stack

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def llm(live_stack: Stack, owner: User, persona: Persona, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    key = make_key(owner)
    return lambda *arguments: run_llm(tmp_path, live_stack.url, key, f"persona:{persona.slug}", *arguments)


def test_llm_streams_and_does_not(llm: Callable[..., subprocess.CompletedProcess], fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["Grü", "ße"], token_ms=10), Script(tokens=["Whole"]))
    streamed = llm("--system", "Rhyme.", "-o", "temperature", "0.2", "Hello?")
    assert (streamed.returncode, streamed.stdout) == (0, "Grüße\n"), streamed.stderr
    whole = llm("--no-stream", "Hello?")
    assert (whole.returncode, whole.stdout) == (0, "Whole\n"), whole.stderr
    assert "Rhyme." in fake_model.requests[0].body["messages"][0]["content"]


def test_llm_goes_on_with_its_conversation(
    llm: Callable[..., subprocess.CompletedProcess], fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=["Hello!"]), Script(tokens=["Again!"]))
    assert llm("First").returncode == 0
    again = llm("--continue", "Second")
    assert (again.returncode, again.stdout) == (0, "Again!\n"), again.stderr
    told = [(m["role"], m["content"]) for m in fake_model.requests[-1].body["messages"][1:]]
    assert told == [("user", "First"), ("assistant", "Hello!"), ("user", "Second")]


def test_llm_says_what_went_wrong(llm: Callable[..., subprocess.CompletedProcess], fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=6, cut_after=3))
    broken = llm("Hello?")
    assert broken.returncode == 1
    assert "broke off" in broken.stderr


@pytest.fixture
def curl(live_stack: Stack, owner: User, persona: Persona) -> Callable[..., str]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    key = make_key(owner)

    return lambda **more: run_curl(live_stack.url, key, asked(persona, **more))


def test_curl_sees_lines_of_data_and_the_mark_at_the_end(curl: Callable[..., str], fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["One\n", "\u2028two"], token_ms=20))
    events = curl(stream=True).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "One\n\u2028two"
    assert chunks[0]["choices"][0] == {
        "index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None,
    }  # fmt: skip
    assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}
    assert {"conversation", "message", "reply"} == set(chunks[0]["nono"])


def test_curl_gets_a_whole_answer(curl: Callable[..., str], fake_model: FakeModelServer) -> None:
    fake_model.enqueue(Script(tokens=["Whole"]))
    assert json.loads(curl())["choices"][0]["message"] == {"role": "assistant", "content": "Whole", "refusal": None}


def test_a_stream_that_breaks_off_ends_with_an_error_and_without_the_mark(
    curl: Callable[..., str], fake_model: FakeModelServer
) -> None:
    fake_model.enqueue(Script(tokens=6, cut_after=3))
    *chunks, last, rest = curl(stream=True).split("\n\n")
    assert rest == ""
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], error["code"], error["param"]) == ("server_error", "llm_cut", None)
    assert 'finish_reason":"stop' not in "".join(chunks)
    assert "[DONE]" not in last
