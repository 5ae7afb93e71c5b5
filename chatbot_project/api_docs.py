"""The API's schema, two pages that show it, and the chat socket's. All they load comes from this server."""

import json
import threading
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer

from chatbot_project.lib.api.etag import is_known
from chatbot_project.middleware import CONTENT_SECURITY_POLICY
from conversations.asyncapi import asyncapi_document

_RENDERERS = {"json": OpenApiJsonRenderer2, "yaml": OpenApiYamlRenderer}
_TYPES = {"json": "application/json", "yaml": "application/yaml"}
_making = threading.Lock()

# Swagger UI and ReDoc make their styles as they run, and ReDoc its search in a worker.
DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
REDOC_POLICY = f"{DOCS_POLICY}; worker-src blob:"

_REDOC = "drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
_REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI schema as JSON; as YAML for ``?format=yaml`` or where YAML is accepted."""
    wanted = request.GET.get("format") or ("yaml" if "yaml" in request.headers.get("Accept", "") else "json")
    if wanted not in _RENDERERS:
        raise Http404
    return _cached(request, lambda: _rendered(wanted), _TYPES[wanted])


@require_safe
def asyncapi(request: HttpRequest) -> HttpResponse:
    """The chat socket's protocol as AsyncAPI 3."""
    return _cached(request, _rendered_asyncapi, "application/json")


@require_safe
def swagger(request: HttpRequest) -> HttpResponse:
    """Swagger UI: the operations, to be tried."""
    return _page(request, "api/swagger.html", DOCS_POLICY)


@require_safe
def redoc(request: HttpRequest) -> HttpResponse:
    """ReDoc: the operations, to be read."""
    return _page(request, "api/redoc.html", REDOC_POLICY)


@require_safe
def redoc_script(request: HttpRequest) -> HttpResponse:
    """ReDoc's script, without the image that it would load from its maker's server."""
    return _cached(request, _redoc_bytes, "text/javascript")


def _page(request: HttpRequest, template: str, policy: str) -> HttpResponse:
    response = render(request, template)
    response.headers["Content-Security-Policy"] = policy
    return response


def _cached(request: HttpRequest, make: Callable[[], bytes], content_type: str) -> HttpResponse:
    with _making:  # made once in a process, however many ask for it first
        body = make()
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    response = HttpResponse(status=304) if is_known(request, etag) else HttpResponse(body, content_type=content_type)
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "no-cache"
    return response


@lru_cache(maxsize=2)
def _rendered(kind: str) -> bytes:
    made = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    text = _RENDERERS[kind]().render(made, renderer_context={})
    return text.encode() if isinstance(text, str) else text


@lru_cache(maxsize=1)
def _rendered_asyncapi() -> bytes:
    host = urlsplit(settings.BASE_URL).netloc
    return json.dumps(asyncapi_document(host, secure=settings.IS_HTTPS), ensure_ascii=False).encode()


@lru_cache(maxsize=1)
def _redoc_bytes() -> bytes:
    found = finders.find(_REDOC)
    if found:
        with open(found, "rb") as file:
            script = file.read()
    else:
        with staticfiles_storage.open(_REDOC) as file:
            script = file.read()
    return script.replace(_REDOC_LOGO, static("favicon.svg").encode())
