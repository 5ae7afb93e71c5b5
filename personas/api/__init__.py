"""Personas over the JSON API."""
