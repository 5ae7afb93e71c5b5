"""Personal data as Faker makes it and people write it, and numbers that only look alike."""

import base64
import random
import string
from collections.abc import Callable
from datetime import datetime

from faker import Faker

from chatbot_project.lib.pii import Kind

Make = Callable[[Faker, random.Random, str], str]


def grouped(digits: str, sizes: list[int], gap: str) -> str:
    """``digits`` in groups; what is left over is the last one."""
    parts, rest = [], digits
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    return gap.join([part for part in (*parts, rest) if part])


def email(fake: Faker, rng: random.Random, locale: str) -> str:
    address = rng.choice([fake.email, fake.ascii_email, fake.company_email, fake.free_email])()
    local, _, domain = address.partition("@")
    shape = rng.random()
    if shape < 0.10:
        return address.upper() if shape < 0.05 else address.title()
    if shape < 0.20:
        return f"{local}+{fake.word()}@{domain}".replace(" ", "")
    if shape < 0.23:
        return f"{local}{rng.choice([' [at] ', '(at)', ' (at) '])}{domain}"
    return address


def phone(fake: Faker, rng: random.Random, locale: str) -> str:
    number = str(fake.phone_number())
    if number.startswith("+") and rng.random() < 0.3:
        digits = "".join(c for c in number.replace("(0)", "") if c.isdigit())
        return rng.choice([f"+{digits}", f"00{digits}"])
    return number


def card(fake: Faker, rng: random.Random, locale: str) -> str:
    number = str(fake.credit_card_number())
    sizes = [4, 6] if len(number) in (14, 15) else [4, 4, 4]
    return rng.choice(
        [number, number, grouped(number, sizes, " "), grouped(number, sizes, " "), grouped(number, sizes, "-")]
    )


def iban(fake: Faker, rng: random.Random, locale: str) -> str:
    number = str(fake.iban())
    return rng.choice([number, grouped(number, [4] * 9, " "), grouped(number, [4] * 9, " "), number.lower()])


def national_id(fake: Faker, rng: random.Random, locale: str) -> str:
    if locale == "de_DE":
        return rng.choice([_pension(fake, rng), _tax_id(rng)])
    if locale == "en_GB":
        return _nino(rng)
    if locale == "es_ES":
        number = str(rng.choice([fake.nif, fake.nie])())
        return rng.choice([number, number.lower(), f"{number[:-1]}-{number[-1]}"])
    number = str(fake.ssn())
    if locale == "fr_FR":
        return rng.choice([number, grouped(number, [1, 2, 2, 2, 3, 3], " "), f"{number[:13]} {number[13:]}"])
    if locale == "it_IT":
        return rng.choice([number, number, number.lower()])
    if locale == "nl_NL":
        return rng.choice([number, number, grouped(number, [4, 2], "."), grouped(number, [3, 3], " ")])
    if locale == "pt_BR":
        return rng.choice([number, str(fake.cpf())])
    if locale == "sv_SE":
        return rng.choice([number, number, number.replace("-", "")])
    if locale == "de_AT":
        return rng.choice([number, f"{number[:4]} {number[4:]}"])
    if locale == "de_CH":
        return rng.choice([number, number.replace(".", ""), number.replace(".", " ")])
    return number


def _pension(fake: Faker, rng: random.Random) -> str:
    number = str(fake.rvnr())
    return rng.choice([number, f"{number[:2]} {number[2:8]} {number[8]} {number[9:]}"])


def _tax_id(rng: random.Random) -> str:
    """A German tax number: ten digits of which exactly one stands there twice, and ISO 7064 MOD 11,10."""
    digits = rng.sample("0123456789", 9)
    digits.insert(rng.randrange(1, 10), rng.choice(digits))
    if digits[0] == "0":
        digits[0], digits[1:] = digits[-1], [*digits[1:-1], "0"]
    if digits[0] == "0":
        return _tax_id(rng)
    product = 10
    for digit in digits:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    number = "".join(digits) + str((11 - product) % 10)
    return rng.choice([number, grouped(number, [2, 3, 3], " ")])


def _nino(rng: random.Random) -> str:
    prefix = rng.choice(["AB", "CE", "JG", "NA", "PW", "RT", "SL", "YE", "WK"])
    number = f"{prefix}{rng.randrange(10**6):06}{rng.choice('ABCD')}"
    return rng.choice([number, grouped(number, [2, 2, 2, 2], " "), f"{number[:2]} {number[2:8]} {number[8]}"])


def ip(fake: Faker, rng: random.Random, locale: str) -> str:
    if rng.random() < 0.7:
        return str(fake.ipv4_public() if rng.random() < 0.7 else fake.ipv4_private())
    address = str(fake.ipv6())
    if rng.random() < 0.4:
        address = (
            "2001:db8:"
            + ":".join(f"{rng.randrange(65536):x}" for _ in range(rng.randrange(1, 4)))
            + f"::{rng.randrange(1, 9999):x}"
        )
    return address.upper() if rng.random() < 0.2 else address


def key(fake: Faker, rng: random.Random, locale: str) -> str:
    alphabet = string.ascii_letters + string.digits

    def drawn(length: int, letters: str = alphabet) -> str:
        return "".join(rng.choices(letters, k=length))

    body = (
        base64.urlsafe_b64encode(f'{{"sub":"{drawn(8)}","iat":{rng.randrange(10**9)}}}'.encode()).decode().rstrip("=")
    )
    return rng.choice(
        [
            f"sk-{drawn(48)}", f"sk-proj-{drawn(40)}", f"ghp_{drawn(36)}", f"github_pat_{drawn(60)}",
            f"AKIA{drawn(16, string.ascii_uppercase + '234567')}", f"xoxb-{drawn(12, string.digits)}-{drawn(24)}",
            f"glpat-{drawn(20)}", f"AIza{drawn(35)}", f"hf_{drawn(34)}", f"eyJhbGciOiJIUzI1NiJ9.{body}.{drawn(43)}",
            drawn(40, "0123456789abcdef"),
        ]
    )  # fmt: skip


def secret(fake: Faker, rng: random.Random, locale: str) -> str:
    return str(fake.password(length=rng.randrange(8, 16), special_chars=rng.random() < 0.5)).replace('"', "x")


VALUES: dict[Kind, Make] = {
    Kind.EMAIL: email, Kind.PHONE: phone, Kind.CARD: card, Kind.IBAN: iban, Kind.ID: national_id, Kind.IP: ip,
    Kind.KEY: key,
}  # fmt: skip


# --- Numbers that are nobody's data
def order(fake: Faker, rng: random.Random, locale: str) -> str:
    def digits(length: int) -> str:
        return str(rng.randrange(10 ** (length - 1), 10**length))

    return rng.choice(
        [
            digits(rng.randrange(5, 19)), digits(10), digits(12),
            f"{rng.randrange(2019, 2027)}-{digits(rng.randrange(4, 8))}",
            f"{''.join(rng.choices(string.ascii_uppercase, k=rng.randrange(1, 4)))}{digits(rng.randrange(5, 10))}",
            f"{digits(3)}-{digits(7)}-{digits(7)}", f"#{digits(6)}", f"1Z{digits(3)}AA{digits(10)}",
            f"{digits(4)}/{digits(5)}",
            str(fake.uuid4()), f"{digits(4)} {digits(4)} {digits(4)}", f"0{digits(9)}", f"RE-{digits(8)}",
            str(fake.ean13()),
        ]
    )  # fmt: skip


def amount(fake: Faker, rng: random.Random, locale: str) -> str:
    whole, cents = rng.randrange(1, 10 ** rng.randrange(1, 9)), f"{rng.randrange(100):02}"
    if locale.startswith("en"):
        return rng.choice([f"${whole:,}.{cents}", f"{whole:,}.{cents} USD", f"£{whole:,}", f"{whole}.{cents} dollars"])
    gap = rng.choice([".", " ", "\u202f"])
    return f"{whole:,}".replace(",", gap) + rng.choice([f",{cents} €", " €", f",{cents} EUR", f",{cents} CHF"])


def date(fake: Faker, rng: random.Random, locale: str) -> str:
    day = fake.date_time_between(datetime(1960, 1, 1), datetime(2028, 1, 1))
    patterns = [
        "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d.%m.%y", "%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M",
        "%Y-%m-%dT%H:%M:%SZ", "%d. %m. %Y", "%Y/%m/%d", "%d.%m.%Y, %H.%M", "%Y%m%d", "%H:%M", "%d.%m.%Y-%d.%m.%Y",
        "%m/%Y",
    ]  # fmt: skip
    return str(day.strftime(rng.choice(patterns)))


def version(fake: Faker, rng: random.Random, locale: str) -> str:
    return ".".join(str(rng.randrange(0, 30)) for _ in range(rng.randrange(2, 4))) + rng.choice(
        ["", "", "-rc1", "-beta.2"]
    )


def book(fake: Faker, rng: random.Random, locale: str) -> str:
    return rng.choice([fake.isbn13, fake.isbn10, lambda: fake.isbn13(separator=""), fake.ean13, fake.ean8])()


def plain(fake: Faker, rng: random.Random, locale: str) -> str:
    digits = rng.randrange(2, 14)
    number = rng.randrange(10 ** (digits - 1), 10**digits)
    return rng.choice(
        [
            str(number), f"{number % 10**9:,}".replace(",", " "), f"{number:,}", f"{rng.random() * 100:.8f}",
            f"{rng.randrange(1, 90)}.{rng.randrange(10**6)}, {rng.randrange(1, 180)}.{rng.randrange(10**6)}",
            f"{rng.randrange(100)} x {rng.randrange(100)} x {rng.randrange(100)} cm",
            f"{rng.randrange(1900, 2030)}-{rng.randrange(1900, 2030)}",
            " ".join(str(rng.randrange(100)) for _ in range(6)), f"#{rng.randrange(16**6):06x}",
            f"{rng.randrange(10, 10**4)}/{rng.randrange(10, 10**4)}",
            f"{rng.randrange(10**3)}.{rng.randrange(10**3)}e-{rng.randrange(20)}", f"{rng.randrange(16**7):07x}",
        ]
    )  # fmt: skip


NEGATIVES: dict[str, Make] = {
    "order": order, "amount": amount, "date": date, "version": version, "book": book, "plain": plain,
}  # fmt: skip
