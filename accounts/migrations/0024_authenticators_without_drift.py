from typing import Any

from django.db import migrations


def forget_drift(apps: Any, schema_editor: Any) -> None:
    """Codes that were typed late had moved the window; it stands still now (OTP_TOTP_SYNC)."""
    apps.get_model("otp_totp", "TOTPDevice").objects.exclude(drift=0).update(drift=0)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0023_restricted_people"),
        ("otp_totp", "0003_add_timestamps"),
    ]

    operations = [migrations.RunPython(forget_drift, migrations.RunPython.noop)]
