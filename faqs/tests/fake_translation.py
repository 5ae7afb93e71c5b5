"""Translation services that do what they are told: real HTTP, DeepL's and Google's protocols, version 2.

They "translate" by writing in capitals, and know HTML as the real ones do: what must not be translated stays.
"""

import json
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "key-0123456789:fx"
MOST_TEXTS = {"deepl": 50, "google": 128}


def shout(markup: str) -> str:
    parts = re.split(r'(<span translate="no".*?</span>|<[^>]*>|&\w+;)', markup)
    return "".join(part if part.startswith(("<", "&")) else part.upper() for part in parts)


@dataclass
class Reply:
    """What to answer instead of a translation. ``held`` waits until the event is set."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    held: threading.Event | None = None


class FakeTranslation:
    """A server on a port of its own; ``url`` is its base. ``requests`` are (path, body) as they came."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.translate = shout
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.requests.append((self.path, body))
                reply = fake.replies.popleft() if fake.replies else fake.answer(self.path, self.headers, body)
                if reply.held is not None:
                    reply.held.wait(30)
                raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(raw)))
                    self.end_headers()
                    self.wfile.write(raw)
                except OSError:
                    pass  # the client did not wait

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: Any, body: dict[str, Any]) -> Reply:
        if path == "/v2/translate":
            return self._deepl(headers, body)
        if path == "/language/translate/v2":
            return self._google(headers, body)
        return Reply(404, body={"message": "Not found"})

    def _deepl(self, headers: Any, body: dict[str, Any]) -> Reply:
        if headers["Authorization"] != f"DeepL-Auth-Key {KEY}":
            return Reply(403, body={"message": f"Forbidden: {headers['Authorization']}"})
        texts = body["text"]
        if len(texts) > MOST_TEXTS["deepl"] or body["target_lang"] not in {"DE", "FR", "EN-US", "PT-BR", "NB"}:
            return Reply(400, body={"message": "Bad request"})
        assert body["tag_handling"] == "html"
        said = [{"detected_source_language": body["source_lang"], "text": self.translate(text)} for text in texts]
        return Reply(body={"translations": said})

    def _google(self, headers: Any, body: dict[str, Any]) -> Reply:
        if headers["X-goog-api-key"] != KEY:
            return Reply(
                400, body={"error": {"code": 400, "message": f"API key not valid: {headers['X-goog-api-key']}"}}
            )
        texts = body["q"]
        if len(texts) > MOST_TEXTS["google"] or sum(map(len, texts)) > 30_000:
            return Reply(400, body={"error": {"code": 400, "message": "Too many text segments"}})
        assert body["format"] == "html"
        return Reply(body={"data": {"translations": [{"translatedText": self.translate(text)} for text in texts]}})
