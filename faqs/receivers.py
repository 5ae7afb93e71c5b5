"""What a change of the knowledge sets going. Nobody waits for it: a broker that is away delays it, no more."""

from typing import Any

from django.dispatch import receiver

from faqs.signals import knowledge_changed
from faqs.tasks import EMBED_AFTER, embed_phrasings, queue


@receiver(knowledge_changed)
def embed_what_changed(sender: Any, revision: int, **kwargs: Any) -> None:
    """The signal is sent on commit: a worker that is quick finds what was published."""
    queue(embed_phrasings, countdown=EMBED_AFTER)
