"""Who may ask a model without the gate: whoever is listed here, for the reason given."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

APPS = ("accounts", "faqs", "personas", "conversations", "analytics", "chatbot_project")
#: Modules that hold an ``LLMClient``, or the ``openai`` package, and why what they send and get needs no gate there.
ALLOWED = {
    "chatbot_project/lib/llm/client.py": "is the client",
    "chatbot_project/lib/llm/sdk.py": "is part of the client",
    "chatbot_project/lib/llm/guarded.py": "is the gate",
    "chatbot_project/lib/llm/router.py": "is part of the client",
    "chatbot_project/lib/llm/errors.py": "is part of the client",
    "chatbot_project/health.py": "asks whether a provider answers, with no text",
    "chatbot_project/management/commands/models.py": "asks a fixed question, for the operator",
    "chatbot_project/doctor/models.py": "the operator has each model say OK, as the command above",
    "conversations/management/commands/runreplies.py": "makes the worker's client",
    "conversations/replies/worker.py": "hands its client to the pipeline",
    "conversations/replies/pipeline.py": "judges questions, what streams and what was shown, and notes what broke",
    "conversations/safety/checks.py": "judges for the pipeline",
    "conversations/safety/endpoint.py": "asks the moderation endpoint itself",
    "conversations/safety/watching.py": "judges what streams",
    "conversations/safety/gate.py": "judges for the gate",
    "faqs/embedding.py": "gets numbers, which nobody reads",
    "faqs/embedding_line.py": "gets numbers, which nobody reads",
    "faqs/translators.py": "sends published texts of the organisation, for its editors",
}
#: Its methods that send text, or get any.
ASKING = {"open_stream", "complete", "moderate"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for path in sorted((Path(settings.BASE_DIR) / app).rglob("*.py")):
            name = path.relative_to(settings.BASE_DIR).as_posix()
            if "/tests/" not in name and "/migrations/" not in name:
                yield name, ast.parse(path.read_text())


def holds_a_client(tree: ast.Module) -> bool:
    """Whether the module imports the client or the SDK, or reaches for either by name."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=names):
                if module == "openai" or (module or "").startswith("openai."):
                    return True
                if any(alias.name in ("LLMClient", "ChatStream") for alias in names):
                    return True
                if any(f"{module}.{alias.name}".endswith("lib.llm.client") for alias in names):
                    return True
            case ast.Import(names=names):
                if any(alias.name.split(".")[0] == "openai" or alias.name.endswith("llm.client") for alias in names):
                    return True
            case ast.Constant(value=str(value)) if "llm.client" in value and " " not in value:
                return True
    return False


def test_only_those_who_are_listed_hold_a_client_of_models() -> None:
    found = {name for name, tree in modules() if holds_a_client(tree)}
    assert found <= set(ALLOWED), f"ask through chatbot_project.lib.llm.guarded instead: {sorted(found - set(ALLOWED))}"


def test_the_list_names_nobody_who_is_gone() -> None:
    assert not [name for name in ALLOWED if not (Path(settings.BASE_DIR) / name).exists()]


@pytest.mark.parametrize(
    "source",
    [
        "from chatbot_project.lib.llm.client import LLMClient",
        "from chatbot_project.lib.llm import client",
        "import chatbot_project.lib.llm.client as c",
        "def f():\n    from chatbot_project.lib.llm.client import LLMClient as C",
        "import openai",
        "from openai import AsyncOpenAI",
        'import_module("chatbot_project.lib.llm.client")',
    ],
)
def test_a_client_is_found_however_it_is_reached_for(source: str) -> None:
    assert holds_a_client(ast.parse(source))


def test_within_the_pipeline_nothing_is_asked_before_the_question_is_judged() -> None:
    (tree,) = [tree for name, tree in modules() if name == "conversations/replies/pipeline.py"]
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.AsyncFunctionDef, ast.FunctionDef))]
    calls = {f.name: {name: n.lineno for n in ast.walk(f) for name in [called(n)] if name} for f in functions}
    assert [name for name, made in calls.items() if "open_stream" in made] == ["relay_from_models"]
    assert [name for name, made in calls.items() if "relay_from_models" in made] == ["answer"]
    lines = calls["answer"]
    assert lines["checked_question"] < lines["consult_faqs"] < lines["relay_from_models"] < lines["judged_shown"]


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def test_only_the_pipeline_and_the_gate_open_streams_and_take_whole_replies() -> None:
    asking = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKING
    }
    assert asking <= set(ALLOWED), sorted(asking - set(ALLOWED))
