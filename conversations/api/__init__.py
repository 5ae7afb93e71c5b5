"""The JSON API of conversations and messages."""
