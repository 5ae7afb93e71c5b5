"""How a reply ended, stored together with what others get of it. One unit of work."""

from dataclasses import replace

from django.db import transaction

from conversations.models import Message
from conversations.replies import queue
from conversations.replies.cache import entries
from conversations.replies.cache.asking import is_worth_keeping
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending


def store_ending(reply: LiveReply, ending: Ending) -> bool:
    """Store how ``reply`` ended (see ``queue.finish``) and what others get of it: its text, or that each is to ask a
    model, where it is whole but not for them. Whoever sees that it ended sees both. False where the caller was
    overtaken and nothing changed."""
    asked = reply.shared
    if asked is None or ending.status != Message.Status.COMPLETED:
        return queue.finish(reply.reply, reply.epoch, ending)  # where it leads, another one does from now on
    is_kept = is_worth_keeping(reply, ending)
    with transaction.atomic():
        whole = replace(ending, cache_key=asked.key) if is_kept else ending
        is_stored = queue.finish(reply.reply, reply.epoch, whole)
        if is_stored and is_kept:
            entries.keep(asked, reply.reply, ending)
        elif is_stored:
            entries.leave_alone(asked, reply.reply)
    return is_stored
