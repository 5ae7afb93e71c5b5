"""Redis over TLS, as those who look after one for you offer it: every client speaks it, and none to somebody else."""

import asyncio
import contextlib
import datetime
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

CLIENTS = {"blocking", "cache", "celery", "streaming", "channels"}


def write_certificate(path: Path) -> None:
    """One for localhost that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)


class Terminator:
    """Speaks TLS on a port of its own and passes what it hears on to the session's Redis."""

    def __init__(self, certificate: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.socket = settings.REDIS_URL.removeprefix("unix://").partition("?")[0]
        self.loop = asyncio.new_event_loop()
        self.thread = Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self._run(asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self.context))
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.close()
        self._run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(self.socket)
        await asyncio.gather(copy(reader, ours), copy(theirs, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side has gone
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    write_certificate(path)
    return path


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[Terminator]:
    terminator = Terminator(certificate)
    yield terminator
    terminator.stop()


def ask(url: str, **more: str) -> dict[str, object]:
    """What each client got."""
    ask_all = "from chatbot_project.tests.redis_clients import main; main()"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", ask_all]
    environment = os.environ | {"REDIS_URL": url} | more
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == CLIENTS
    return found


def test_every_client_speaks_tls_with_a_server_that_it_knows(server: Terminator, certificate: Path) -> None:
    by_system = ask(f"rediss://localhost:{server.port}/0", SSL_CERT_FILE=str(certificate))
    assert set(by_system.values()) == {True}, by_system
    by_address = ask(f"rediss://localhost:{server.port}/0?ssl_ca_certs={certificate}")
    assert set(by_address.values()) == {True}, by_address


def test_no_client_speaks_with_a_server_that_it_does_not_know(server: Terminator) -> None:
    found = ask(f"rediss://localhost:{server.port}/0")
    assert True not in found.values(), found
