"""The mail server: connected to, greeted, made secure and signed in to. Nothing is sent unless somebody asks for it."""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from chatbot_project.doctor.registry import Finding, Findings, Request, check, failed, ok, skipped, warning
from chatbot_project.doctor.running import in_thread, one_line


@check("mail", "Mail can be sent")
async def examine_mail(request: Request) -> Findings:
    if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        if settings.IS_LOCAL:
            return skipped("EMAIL_URL is not set: mail goes to the Celery worker's output.")
        return failed("EMAIL_URL is not set: nobody gets mail.", "Set EMAIL_URL=smtp+tls://user:password@host:587")
    return await in_thread(_examined, request.send_mail, request.seconds * 0.8)


def _examined(address: str, seconds: float) -> Finding:
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    connection: Any = get_connection(fail_silently=False, timeout=seconds)
    try:
        connection.open()  # connects, says EHLO, STARTTLS where it is set, and signs in where there is a user
        code, _text = connection.connection.noop()
        if address:
            text = "This is a test of Nono's mail. It was sent by manage.py doctor."
            EmailMessage("Nono: a test", text, to=[address], connection=connection).send()
    except (smtplib.SMTPException, OSError) as error:
        return _explained(error, where)
    finally:
        with suppress(smtplib.SMTPException, OSError):  # it was told above
            connection.close()
    if code != 250:
        return failed(f"{where} answers {code}.", "See the mail server's log.")
    return _warned(where) or ok(
        f"{where}: {_how()}{f'; a mail went to {address}' if address else '; nothing was sent'}."
    )


def _how() -> str:
    secured = "TLS" if settings.EMAIL_USE_SSL else "STARTTLS" if settings.EMAIL_USE_TLS else "no encryption"
    return f"connected, {secured}, {'signed in' if settings.EMAIL_HOST_USER else 'no sign-in'}"


def _warned(where: str) -> Finding | None:
    if settings.EMAIL_HOST_USER and not (settings.EMAIL_USE_SSL or settings.EMAIL_USE_TLS):
        return warning(
            f"{where}: the password goes over the network as it is.",
            "Write smtp+tls:// (port 587) or smtps:// (465) in EMAIL_URL.",
        )
    sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    if not settings.IS_LOCAL and sender.endswith("@localhost"):
        return warning(
            f"{where} can be used, but mail comes from {sender}.",
            "Set DEFAULT_FROM_EMAIL to an address of your domain.",
        )
    return None


def _explained(error: Exception, where: str) -> Finding:
    """Of what the server said only its code: its text may repeat what it was sent."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return failed(
            f"{where} does not accept user and password ({error.smtp_code}).",
            "Correct them in EMAIL_URL; percent-encode odd characters.",
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return failed(
            f"{where} does not offer what EMAIL_URL asks for: STARTTLS or a sign-in.",
            "Write smtps:// for port 465, smtp+tls:// for 587, smtp:// for a relay without either.",
        )
    if isinstance(error, (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused)):
        return failed(
            f"{where} does not take the test mail.",
            "See that DEFAULT_FROM_EMAIL may be sent from there, and the address.",
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return failed(f"{where} answers {error.smtp_code}.", "See the mail server's log.")
    if isinstance(error, ssl.SSLError):
        return failed(
            f"{where} cannot be spoken to by TLS: {error.reason or type(error).__name__}",
            "Use smtps:// for port 465 and smtp+tls:// for 587, and a certificate for that host.",
        )
    if isinstance(error, socket.gaierror):
        return failed(f"The host of {where} has no address.", "Correct the host in EMAIL_URL.")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return failed(f"{where} hung up.", "Use smtps:// for port 465 and smtp+tls:// for 587.")
    return failed(
        f"{where} cannot be reached: {one_line(error)}",
        "Correct host and port in EMAIL_URL, and let the firewall pass them.",
    )
