"""What figures do when what they were added up from changes."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from analytics.rollups import mark_stale
from conversations.signals import figures_changed


@receiver(figures_changed)
def count_anew(sender: Any, times: Iterable[datetime], **kwargs: Any) -> None:
    mark_stale(times)
