"""Figures over the JSON API."""
