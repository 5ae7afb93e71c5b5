"""The pages of the second factor, for the tests of them."""

import re
from base64 import b32decode

from django.test import Client, RequestFactory

from accounts.models import AuditEvent, User

CODE, SETUP = "/accounts/sign-in/code/", "/accounts/second-factor/"
NEW_CODES, OFF = "/accounts/second-factor/codes/", "/accounts/second-factor/off/"


def give(browser: Client, code: str, **extra: str):
    return browser.post(CODE, {"code": code}, **extra)


def actions(user: User) -> list[str]:
    told = AuditEvent.objects.on(user).filter(action__startswith="second_factor.").order_by("pk")
    return list(told.values_list("action", flat=True))


def request_from(source: str = "192.0.2.1"):
    return RequestFactory().post("/", REMOTE_ADDR=source)


def key_of(page) -> str:
    (secret,) = re.findall(r"secret=([A-Z2-7]{32})&", page.content.decode().replace("&amp;", "&"))
    return b32decode(secret).hex()


def enrolled_browser(sign_in, mine) -> Client:
    browser = sign_in(mine.user.email)
    give(browser, mine.app.next_code())
    return browser
