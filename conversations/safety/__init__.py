"""Moderation: what people ask and models say is held against the moderators' rules; what was held back is looked at."""
