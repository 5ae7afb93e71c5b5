"""How the API's schema describes what is here: made from the structs themselves."""

from collections.abc import Mapping
from typing import Any

import msgspec
from drf_spectacular.utils import OpenApiResponse

from chatbot_project.lib.api.openapi import OPENAI_ERROR
from conversations.openai_api.answers import ChatCompletion, ChatCompletionChunk, Model, ModelList
from conversations.openai_api.requests import ChatCompletionRequest

_TEMPLATE = "#/components/schemas/OpenAI{name}"
_STRUCTS = [ChatCompletionRequest, ChatCompletion, ChatCompletionChunk, Model, ModelList]


def of(struct: type[msgspec.Struct]) -> dict[str, str]:
    """A reference to the schema of one of the structs above."""
    return {"$ref": _TEMPLATE.format(name=struct.__name__)}


def error(status: int, description: str) -> dict[Any, Any]:
    """An answer of ``extend_schema`` in OpenAI's shape of errors; ``description`` names its code."""
    return {(status, "application/json"): OpenApiResponse(OPENAI_ERROR, description)}


def add_structs(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook: the structs' schemas, under names of their own."""
    _references, found = msgspec.json.schema_components(_STRUCTS, ref_template=_TEMPLATE)
    components: Mapping[str, Any] = {f"OpenAI{name}": shape for name, shape in found.items()}
    result.setdefault("components", {}).setdefault("schemas", {}).update(components)
    return result
