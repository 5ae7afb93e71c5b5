"""What happens in conversations that others act on."""

from django.dispatch import Signal

reply_disliked = Signal()
"""Somebody found a reply not helpful (``reply``: its id). Sent on commit."""
