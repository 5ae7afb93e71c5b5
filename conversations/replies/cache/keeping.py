"""How a reply ended, stored together with what others get of it. One unit of work."""

from dataclasses import replace

from django.db import transaction

from conversations.replies import queue
from conversations.replies.cache import entries
from conversations.replies.cache.asking import is_worth_keeping
from conversations.replies.live import LiveReply
from conversations.replies.queue import Ending


def store_ending(reply: LiveReply, ending: Ending) -> bool:
    """Store how ``reply`` ended (see ``queue.finish``) and, where others may get it, that: whoever sees that it ended
    sees both. False where the caller was overtaken and nothing changed."""
    asked = reply.shared
    if asked is None or not is_worth_keeping(reply, ending):
        return queue.finish(reply.reply, reply.epoch, ending)
    with transaction.atomic():
        is_stored = queue.finish(reply.reply, reply.epoch, replace(ending, cache_key=asked.key))
        if is_stored:
            entries.keep(asked, reply.reply, ending)
    return is_stored
