"""Servers that answer the doctor as broken ones do: real sockets, scripted answers."""

import io
import socketserver
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = tuple[int, Mapping[str, str], bytes]


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """Serve from a thread; gives the port."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def http_server(answers: Mapping[str, Answer], default: Answer = (404, {}, b"nothing")) -> Iterator[str]:
    """The base URL of a server that gives each path its answer. ``{base}`` in a header is that URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path, default)
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value.replace("{base}", f"http://127.0.0.1:{port}"))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


class MailServer(socketserver.ThreadingTCPServer):
    """Speaks enough SMTP to be signed in to. ``commands`` are the verbs it heard, ``letters`` what it was sent."""

    daemon_threads = True

    def __init__(self, *, accepts: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.accepts, self.tls = accepts, tls
        self.commands: list[str] = []
        self.letters: list[str] = []


class _MailHandler(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 mail.test")
        while line := self.rfile.readline().decode():
            verb = line.split()[0].upper()
            self.server.commands.append(verb)
            if verb == "QUIT":
                self._say("221 bye")
                return
            self._obey(verb)

    def _obey(self, verb: str) -> None:
        if verb == "EHLO":
            offered = ["250-mail.test", *(["250-STARTTLS"] if self.server.tls else []), "250 AUTH PLAIN"]
            self._say("\r\n".join(offered))
        elif verb == "STARTTLS" and self.server.tls:
            self._say("220 go on")
            self._secure(self.server.tls)
        elif verb == "AUTH":
            self._say("235 welcome" if self.server.accepts else "535 5.7.8 wrong: canary-password")
        elif verb == "DATA":
            self._say("354 go on")
            self.server.letters.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self._say("250 taken")
        else:
            self._say("250 ok")

    def _secure(self, tls: ssl.SSLContext) -> None:
        try:
            self.connection = tls.wrap_socket(self.connection, server_side=True)
        except ssl.SSLError:  # the client does not trust the certificate, and left
            self.rfile = io.BytesIO()
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())
        self.wfile.flush()
