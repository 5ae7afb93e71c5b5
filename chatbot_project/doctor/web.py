"""The web server as people reach it: over BASE_URL, with whatever proxy stands before it."""

import json
from time import perf_counter
from urllib.parse import urljoin

import aiohttp
from django.conf import settings
from django.templatetags.static import static

from chatbot_project.doctor.registry import Findings, Request, check, failed, ok, warning
from chatbot_project.doctor.running import one_line
from conversations.events import CLOSE_GOING_AWAY, CLOSE_SIGNED_OUT

PAGE = "/accounts/sign-in/"
_UPGRADE = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection “upgrade”"


def _session(seconds: float) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=seconds), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


@check("web", "The web server answers at BASE_URL")
async def examine_web(request: Request) -> Findings:
    url, began = f"{settings.BASE_URL}/healthz", perf_counter()
    try:
        async with _session(request.seconds) as session:
            async with session.get(url, allow_redirects=False) as answer:
                status, text = answer.status, await answer.text(errors="replace")
            took = (perf_counter() - began) * 1000
            if not _is_alive(status, text):
                return _stranger(url, status, text)
            async with session.get(settings.BASE_URL + PAGE, allow_redirects=False) as answer:
                return _page(answer, took)
    except aiohttp.ClientConnectorCertificateError as error:
        return failed(
            f"The certificate of {settings.BASE_URL} is not good: {one_line(error)}", "Renew it at the proxy."
        )
    except aiohttp.ClientConnectorDNSError:
        return failed(f"The host of {settings.BASE_URL} has no address.", "Correct BASE_URL, or the name's DNS record.")
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        return failed(
            f"{settings.BASE_URL} cannot be reached: {one_line(error)}",
            "Start it (manage.py runweb, or make run), and see that BASE_URL is the address people open.",
        )


def _is_alive(status: int, text: str) -> bool:
    try:
        return status == 200 and json.loads(text) == {"status": "ok"}
    except ValueError:
        return False


def _stranger(url: str, status: int, text: str) -> Findings:
    """What answers there is not the web process, or cannot reach it."""
    if status in {502, 503, 504}:
        return failed(
            f"{url} answers {status}: the proxy does not reach a web process.",
            "Start manage.py runweb, and see the proxy's upstream.",
        )
    if status == 400:
        return failed(
            f"{url} answers 400.", "Add the host of BASE_URL to ALLOWED_HOSTS, and have the proxy pass Host on."
        )
    if 300 <= status < 400:
        return failed(
            f"{url} answers with a redirect ({status}).", "Set BASE_URL to the address that is redirected to."
        )
    kind = "a page" if "<" in text[:200] else "something"
    return failed(
        f"{url} answers {status} with {kind} that is not ours.",
        "See that BASE_URL and its port are this server's, and no other program's.",
    )


def _page(answer: aiohttp.ClientResponse, took: float) -> Findings:
    """What a page says that people open; ``took`` are milliseconds."""
    if answer.status == 400:
        return failed(
            f"{PAGE} answers 400.", "Add the host of BASE_URL to ALLOWED_HOSTS, and have the proxy pass Host on."
        )
    to = urljoin(str(answer.url), answer.headers.get("Location", ""))
    if answer.status in {301, 302, 307, 308} and to == str(answer.url):
        return failed(
            f"{PAGE} redirects to itself: the web process takes the proxy's requests for plain HTTP.",
            "Set TRUSTED_PROXY_HOPS=1, and have the proxy send X-Forwarded-Proto: https and X-Forwarded-For.",
        )
    if answer.status == 503:
        return warning(
            f"{PAGE} answers 503.", "End maintenance (manage.py maintenance off), or see the check “database”."
        )
    if answer.status != 200:
        return failed(f"{PAGE} answers {answer.status}.", "See the web process's log for that request.")
    return ok(f"{settings.BASE_URL} answers in {took:.0f} ms.")


@check("websocket", "A WebSocket opens at BASE_URL", needs=("web",))
async def examine_websocket(request: Request) -> Findings:
    """Nobody is signed in here: the socket is opened, and closed by the server with the code that says so."""
    url, began = f"ws{settings.BASE_URL.removeprefix('http')}/ws/chat/", perf_counter()
    try:
        async with (
            _session(request.seconds) as session,
            session.ws_connect(
                url, headers={"Origin": settings.BASE_URL}, timeout=aiohttp.ClientWSTimeout(ws_close=2)
            ) as socket,
        ):
            message = await socket.receive(timeout=request.seconds)
            code = socket.close_code or message.data
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 403:
            return failed(
                "The upgrade is refused with 403: Host or Origin is not what the server expects.",
                "Set BASE_URL and ALLOWED_HOSTS to what people open, and have the proxy pass Host and Origin on.",
            )
        return failed(
            f"{url} answers {error.status} instead of upgrading.", f"Have the proxy pass upgrades on; nginx: {_UPGRADE}"
        )
    took = (perf_counter() - began) * 1000
    if code == CLOSE_SIGNED_OUT:
        return ok(f"Opened in {took:.0f} ms, and closed as it must be for nobody ({code}).")
    if code == CLOSE_GOING_AWAY:
        return warning(
            f"Opened, and sent away ({code}): the process ends, or its database is away.",
            "Ask again; else see its log.",
        )
    return failed(
        f"Opened, and closed with {code} instead of {CLOSE_SIGNED_OUT}.", "See what the proxy does with WebSockets."
    )


@check("static", "Styles and scripts are served", needs=("web",))
async def examine_static(request: Request) -> Findings:
    mend = "Run: manage.py collectstatic --noinput, with the version and VAR_DIR that the web process has"
    try:
        path = static("css/base.css")
    except ValueError:
        return failed("Static files were not collected.", mend)
    async with _session(request.seconds) as session, session.get(urljoin(settings.BASE_URL, path)) as answer:
        status, kind, size = answer.status, answer.content_type, len(await answer.read())
    if status != 200 or kind != "text/css" or not size:
        return failed(f"{path} answers {status} as {kind}.", mend)
    return ok(f"{path} is served.")
