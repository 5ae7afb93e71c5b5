"""``manage.py doctor``: the mail server."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from chatbot_project.tests.doctor_running import examined
from chatbot_project.tests.doctor_servers import MailServer, serving
from stress_tests.fake_model import closed_port


@pytest.fixture
def mail(settings: Any) -> Any:
    """Settings of a mail server that somebody signs in to."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", "me", "canary-password"
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    return settings


def test_a_mail_server_is_signed_in_to_and_sent_nothing(mail: Any, trusted: ssl.SSLContext) -> None:
    server = MailServer(tls=trusted)
    with serving(server) as mail.EMAIL_PORT:
        mail.EMAIL_HOST, mail.EMAIL_USE_TLS = "localhost", True
        found = examined("mail")["mail"]
    assert (found.status, server.letters) == ("ok", [])
    assert "STARTTLS, signed in; nothing was sent" in found.found
    assert server.commands == ["EHLO", "STARTTLS", "EHLO", "AUTH", "NOOP", "QUIT"]


def test_a_mail_is_sent_where_that_is_asked_for(mail: Any, settings: Any) -> None:
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    server = MailServer()
    with serving(server) as mail.EMAIL_PORT:
        found = examined("mail", send_mail="ops@example.org")["mail"]
    assert "a mail went to ops@example.org" in found.found
    assert "To: ops@example.org" in server.letters[0]


def test_what_a_mail_server_refuses_is_told_without_its_words(mail: Any, trusted: ssl.SSLContext) -> None:
    with serving(MailServer(accepts=False)) as mail.EMAIL_PORT:
        found = examined("mail")["mail"]
        assert (found.status, found.found.endswith("does not accept user and password (535).")) == ("failed", True)
        mail.EMAIL_USE_TLS = True
        assert "does not offer" in examined("mail")["mail"].found
    with serving(MailServer(tls=trusted)) as mail.EMAIL_PORT:
        assert "by TLS" in examined("mail")["mail"].found  # the certificate is of another name
    mail.EMAIL_PORT = closed_port()
    assert "cannot be reached" in examined("mail")["mail"].found


def test_a_password_that_goes_in_the_clear_is_warned_of_and_no_mail_server_is_none(mail: Any) -> None:
    with serving(MailServer()) as mail.EMAIL_PORT:
        assert examined("mail")["mail"].status == "warning"
    mail.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    assert examined("mail")["mail"].status == "skipped"
    mail.IS_LOCAL = False
    assert examined("mail")["mail"].status == "failed"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server of the name ``localhost`` shows, with a certificate that this process trusts."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
