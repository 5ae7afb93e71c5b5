"""What happens in conversations that others act on."""

from django.dispatch import Signal

reply_disliked = Signal()
"""Somebody found a reply not helpful (``reply``: its id). Sent on commit."""

figures_changed = Signal()
"""What was said at ``times`` counts otherwise from now on: what somebody thinks of a reply, that they ask for a person
below it, or whose it is. Sent inside the transaction that changes it; whoever keeps figures counts those times anew."""
