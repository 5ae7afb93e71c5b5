"""Signing in to the JSON API, one's own account, keys and sessions over it."""
