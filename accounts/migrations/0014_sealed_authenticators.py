from collections.abc import Callable
from typing import Any

from django.db import migrations

from accounts.models import seal_secret, unseal_secret

HEX = frozenset("0123456789abcdef")


def seal(key: str, user_id: Any) -> str:
    return seal_secret(bytes.fromhex(key), user_id)


def unseal(key: str, user_id: Any) -> str:
    return unseal_secret(key, user_id).hex()


def change(how: Callable[[str, Any], str], *, sealed: bool) -> Callable[[Any, Any], None]:
    def run(apps: Any, schema_editor: Any) -> None:
        devices = apps.get_model("otp_totp", "TOTPDevice").objects.select_for_update()
        for device in devices.order_by("pk").iterator(chunk_size=500):
            if set(device.key.lower()).issubset(HEX) is not sealed:
                device.key = how(device.key, device.user_id)
                device.save(update_fields=["key"])

    return run


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_restriction"),
        ("otp_totp", "0003_add_timestamps"),
    ]

    operations = [
        migrations.CreateModel(
            name="Authenticator",
            fields=[],
            options={"proxy": True, "indexes": [], "constraints": []},
            bases=("otp_totp.totpdevice",),
        ),
        # Of 64 random characters of Base64 some are no hexadecimal digits: no sealed secret looks like one in clear.
        migrations.RunPython(change(seal, sealed=False), change(unseal, sealed=True)),
    ]
