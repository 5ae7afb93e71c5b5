"""Replies that answer the same first question of others, too: docs/caching.md says for which and how."""
