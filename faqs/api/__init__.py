"""The knowledge over the JSON API."""
