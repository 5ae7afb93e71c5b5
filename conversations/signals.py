"""What happens in conversations that others act on."""

from django.dispatch import Signal

reply_disliked = Signal()
"""Somebody found a reply not helpful (``reply``: its id). Sent on commit."""

figures_changed = Signal()
"""What was said at ``times`` counts otherwise from now on: what somebody thinks of a reply, or whose it is. Sent inside
the transaction that changes it; whoever keeps figures of those times counts them anew."""
