"""Scripted people by the hundred: what locust runs (``locustfile``), and the command that gives it a stack."""
