"""``Idempotency-Key`` on a POST: sent again after a lost answer, it has its effect once and gives the same answer.

The key belongs to the person and the address. Its answer is kept for a day in Redis, and only where the request
succeeded: a refused one changed nothing and may be tried again under the same key. While Redis is away a request with
a key is refused, as the promise could not be held; one without a key goes on.
"""

import json
import logging
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any, TypeVar, cast
from uuid import uuid4

from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from chatbot_project.lib.api.errors import InvalidInput, unavailable
from chatbot_project.lib.errors import ApplicationError
from chatbot_project.lib.redis import RedisError, blocking_redis

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
KEPT_SECONDS = 24 * 3600
BUSY_SECONDS = 60
_KEPT_HEADERS = ("Location", "ETag")
Post = TypeVar("Post", bound=Callable[..., HttpResponseBase])

# Only whoever made the mark may replace it: where it ran out meanwhile, another request may be at work under the key.
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1
"""


def idempotent(*, keeps_answer: bool = True, busy_seconds: int = BUSY_SECONDS) -> Callable[[Post], Post]:
    """Decorates the ``post`` of an APIView. Without the header, and for those who are not signed in, nothing changes.

    ``keeps_answer=False`` is for answers that hold a secret: asked again they are refused (409
    ``answer_not_repeated``) instead of told again. ``busy_seconds`` is how long the work may take.

    Raises ApplicationError ``idempotency_key_reused`` (422) where the key came with another body, ``in_progress``
    (409) while the first request is at work, ``unavailable`` (503), and InvalidInput for a key that is none.
    """

    def decorate(post: Post) -> Post:
        @wraps(post)
        def guarded(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            key = request.headers.get(HEADER)
            if key is None or not request.user.is_authenticated:
                return post(view, request, *args, **kwargs)
            place, fingerprint = _place(request, key), _fingerprint(request)
            mark = json.dumps({"of": fingerprint, "by": uuid4().hex})
            known = _begin(place, mark, busy_seconds)
            if known is not None:
                return _repeated(known, fingerprint)
            answer = ""
            try:
                response = post(view, request, *args, **kwargs)
                if 200 <= response.status_code < 300:
                    answer = _kept(response, fingerprint, keeps_answer=keeps_answer)
                return response
            finally:
                _end(place, mark, answer)

        guarded.is_idempotent = True  # type: ignore[attr-defined]  # the schema asks
        return cast(Post, guarded)

    return decorate


def checked_key(key: str) -> str:
    """``key`` itself. Raises InvalidInput for one that is none."""
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise InvalidInput({HEADER: [_("The key is made of 1 to 255 printable ASCII characters.")]})
    return key


def reused() -> ApplicationError:
    """The key came with another request before."""
    detail = _("This key was used with another request. Take a new key for a new request.")
    return ApplicationError("idempotency_key_reused", detail, status=422)


def _place(request: Request, key: str) -> str:
    words = "\0".join((request.method or "", request.get_full_path(), checked_key(key)))
    # By person, so that what is kept of somebody can be found.
    return f"idempotency:{request.user.pk}:{sha256(words.encode()).hexdigest()}"


def _fingerprint(request: Request) -> str:
    """What was sent, by its meaning: neither white space nor the order of names counts."""
    digest = sha256(json.dumps(_plain(request.data), sort_keys=True, default=str).encode())
    for name, file in sorted(request.FILES.items()):
        digest.update(name.encode())
        for chunk in file.chunks():
            digest.update(chunk)
        file.seek(0)
    return digest.hexdigest()


def _plain(data: Any) -> Any:
    return {name: data.getlist(name) for name in data if name not in data.files} if hasattr(data, "files") else data


def _begin(place: str, mark: str, seconds: int) -> dict[str, Any] | None:
    """Put ``mark`` where nothing is known of the key yet; else what is known of it."""
    client = blocking_redis()
    try:
        while not client.set(place, mark, nx=True, ex=seconds):
            found = client.get(place)
            if found is not None:  # else it ran out between the two
                return cast(dict[str, Any], json.loads(cast(bytes, found)))
    except RedisError as error:
        raise unavailable() from error
    return None


def _end(place: str, mark: str, answer: str) -> None:
    """Put ``answer`` where the mark is; nothing, where there is none."""
    try:
        blocking_redis().eval(_REPLACE, 1, place, mark, answer, str(KEPT_SECONDS))
    except RedisError:
        logger.warning("idempotency.not_kept", exc_info=True)


def _kept(response: HttpResponseBase, fingerprint: str, *, keeps_answer: bool) -> str:
    answer: dict[str, Any] = {"of": fingerprint, "status": response.status_code}
    if keeps_answer:
        answer["body"] = JSONRenderer().render(getattr(response, "data", None)).decode()
        answer["headers"] = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    return json.dumps(answer)


def _repeated(known: dict[str, Any], fingerprint: str) -> Response:
    if known["of"] != fingerprint:
        raise reused()
    if "status" not in known:
        detail = _("The first request under this key is still at work.")
        raise ApplicationError("in_progress", detail, status=409, retry_after=1)
    if "body" not in known:
        detail = _("This was done already, and its answer is not told twice.")
        raise ApplicationError("answer_not_repeated", detail, status=409)
    body = json.loads(known["body"]) if known["body"] else None
    return Response(body, status=known["status"], headers={**known["headers"], "Idempotent-Replayed": "true"})
