"""Conditional requests: two who edit the same thing at once do not overwrite each other, and what is known is not
sent again (RFC 9110, section 13)."""

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Protocol

from django.utils.translation import gettext as _
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from chatbot_project.lib.errors import ApplicationError

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


class HasHeaders(Protocol):
    """A request of Django's or of the REST framework's."""

    @property
    def headers(self) -> Mapping[str, str]: ...


class PreconditionFailed(ApplicationError):
    """It was changed since it was read."""

    def __init__(self) -> None:
        detail = _("This was changed meanwhile. Read it again, then repeat your change.")
        super().__init__("precondition_failed", detail, status=412)


def etag_of(*parts: Any) -> str:
    """The strong entity tag, quotes included, of what these parts determine: an id and a revision, mostly.

    It must change with everything that the answer shows.
    """
    digest = blake2b("\0".join(str(part) for part in parts).encode(), digest_size=12).hexdigest()
    return f'"{digest}"'


def etag_of_body(body: Any) -> str:
    """The entity tag of an answer whose JSON is ``body``."""
    return etag_of(json.dumps(body, sort_keys=True, default=str))


def tagged(request: Request, body: Any, *, status: int = 200, location: str = "") -> Response:
    """``body`` under its entity tag; 304 without it where a reader knows it already."""
    headers = {"ETag": etag_of_body(body)} | ({"Location": location} if location else {})
    if request.method in SAFE_METHODS and is_known(request, headers["ETag"]):
        return Response(status=304, headers=headers)
    return Response(body, status=status, headers=headers)


def require_match(request: HasHeaders, etag: str) -> None:
    """Raise PreconditionFailed (412) where ``If-Match`` names another state than ``etag``. Without the header anything
    goes.

    Two at once are told apart only where this is called under the lock under which the change is made.
    """
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    if not any(not weak and f'"{tag}"' == etag for weak, tag in _TAG.findall(header)):
        raise PreconditionFailed


def is_known(request: HasHeaders, etag: str) -> bool:
    """Whether ``If-None-Match`` says that the client has this state already: answer 304."""
    header = request.headers.get("If-None-Match")
    if header is None:
        return False
    return header.strip() == "*" or any(f'"{tag}"' == etag for _weak, tag in _TAG.findall(header))
