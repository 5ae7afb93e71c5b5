"""``/v1/``: personas as models, and completions by them."""

import json
from dataclasses import replace
from functools import partial
from hashlib import sha256

import msgspec
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.api.authentication import BearerAuthentication, credential_of, person_of
from accounts.scopes import Scope
from accounts.throttles import give_ask_back, take_ask
from chatbot_project.lib.api.idempotency import HEADER, checked_key
from chatbot_project.lib.api.late import LateResponse
from conversations.api.event_stream import MEDIA_TYPE, EventStreamRenderer
from conversations.api.replying import exactly_once
from conversations.completions import Key, find_asked
from conversations.openai_api import examples, schema
from conversations.openai_api.answering import Answering
from conversations.openai_api.answers import ChatCompletion, Model, ModelList, model_of
from conversations.openai_api.errors import ModelNotFound, error_response
from conversations.openai_api.requests import MODEL_PREFIX, ChatCompletionRequest, asking_of, read_request
from personas.models import Persona

NO_CACHE = OpenApiParameter(
    "Cache-Control",
    str,
    OpenApiParameter.HEADER,
    description="`no-cache`: ask the model, also where it has answered the same question before.",
)


class OpenAIView(APIView):
    """What a program calls with an API key or an access token: never a page with a session's cookie."""

    authentication_classes = [BearerAuthentication]
    # Clients that stream accept nothing else, and get JSON where an error has to be told.
    renderer_classes = [JSONRenderer, EventStreamRenderer]


class ModelsView(OpenAIView):
    @extend_schema(
        operation_id="openai_models_list",
        tags=["openai"],
        summary="The personas one may use, as OpenAI's models",
        responses={
            (200, "application/json"): OpenApiResponse(schema.of(ModelList), "Models.", examples=[examples.MODELS])
        },
    )
    def get(self, request: Request) -> HttpResponse:
        found = Persona.objects.visible_to(person_of(request)).with_published()
        return _json(ModelList(data=[model_of(persona) for persona in found]))


class ModelView(OpenAIView):
    @extend_schema(
        operation_id="openai_models_get",
        tags=["openai"],
        summary="One persona as a model",
        responses={
            (200, "application/json"): OpenApiResponse(schema.of(Model), "The model.", examples=[examples.MODEL]),
            **schema.error(404, "There is no such model, or it is not for you: `model_not_found`."),
        },
    )
    def get(self, request: Request, model_id: str) -> HttpResponse:
        found = Persona.objects.visible_to(person_of(request)).with_published()
        slug = model_id.removeprefix(MODEL_PREFIX)
        persona = found.filter(slug=slug).first() if model_id.startswith(MODEL_PREFIX) else None
        if persona is None:
            raise ModelNotFound(model_id)
        return _json(model_of(persona))


class ChatCompletionsView(OpenAIView):
    scopes = {"POST": Scope.CHAT}

    @extend_schema(
        operation_id="openai_chat_completions",
        tags=["openai"],
        summary="A reply to a conversation that the caller holds",
        description="OpenAI's chat completion by a persona, whole or with `stream` in chunks. The conversation is kept "
        "for a day, in no list, unless `store` is true. A reply that breaks off is an error, also within a stream, "
        "which then ends without `[DONE]`. What cannot be done (tools, images, several choices, other formats) is "
        "refused by name; sampling parameters are accepted, and the persona's own hold. The member `nono` says where "
        "the reply is stored and what it came from. The same Idempotency-Key gives the same reply.",
        parameters=[NO_CACHE],
        request={"application/json": schema.of(ChatCompletionRequest)},
        responses={
            (200, "application/json"): OpenApiResponse(
                schema.of(ChatCompletion), "The whole reply.", examples=[examples.COMPLETION]
            ),
            (200, MEDIA_TYPE): OpenApiResponse(
                {"type": "string"},
                "`data: ` lines with a `ChatCompletionChunk` each, and `[DONE]` at the end. Comment lines keep the "
                "connection open.",
                examples=[examples.CHUNKS],
            ),
            **schema.error(404, "There is no such model, or it is not for you: `model_not_found`."),
            **schema.error(409, "The reply was stopped: `stopped`."),
            **schema.error(422, "The key was used with another request: `idempotency_key_reused`."),
            **schema.error(502, "The model did not answer as it should: `llm_refused`, `llm_malformed`, `llm_cut`, …"),
            **schema.error(
                503,
                "Something is away for the moment: `llm_unavailable`, …, or too many wait: `busy`",
            ),
            **schema.error(504, "The model took too long: `llm_timeout`."),
        },
        examples=[examples.ASK, examples.ASK_STREAM],
    )
    @exactly_once
    def post(self, request: Request) -> HttpResponseBase:
        wanted = read_request(request.data)
        asking = replace(asking_of(wanted), bypass_cache=_wants_no_cache(request))
        user, key = person_of(request), _key_of(request)
        is_taken = key is None or find_asked(user=user, key=key) is None
        if is_taken:
            take_ask(user, request)
        give_back = partial(give_ask_back, user, request) if is_taken else _nothing_taken
        answering = Answering(user, credential_of(request), wanted, asking, key, give_back)
        return LateResponse(answering.answer, tell=error_response)


def _nothing_taken() -> None:
    """The question was asked before: it took nothing again."""


def _key_of(request: Request) -> Key | None:
    """The request's Idempotency-Key, alone and with all that decides what is answered. Raises InvalidInput."""
    given = request.headers.get(HEADER)
    if given is None:
        return None
    asked = {name: value for name, value in dict(request.data).items() if name not in ("stream", "stream_options")}
    words = f"{checked_key(given)}\0{json.dumps(asked, sort_keys=True)}"
    return Key(_client_id(given), _client_id(words))


def _wants_no_cache(request: Request) -> bool:
    """Whether the request's Cache-Control asks for an answer that was not kept (RFC 9111)."""
    wishes = {wish.strip().lower() for wish in request.headers.get("Cache-Control", "").split(",")}
    return not wishes.isdisjoint(("no-cache", "no-store"))


def _client_id(words: str) -> str:
    return f"v1-{sha256(words.encode()).hexdigest()[:60]}"


def _json(value: msgspec.Struct) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(value), content_type="application/json")
