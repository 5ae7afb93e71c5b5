"""``manage.py doctor``: real round trips through every part, each with what was found and how to mend it.

``registry`` says what a check and a finding are, ``running`` runs the checks side by side and bounded, ``report`` tells
of them. The checks themselves are one module a subject: ``web``, ``database``, ``redis``, ``work`` (replies, Celery and
beat), ``models``, ``mail``, ``machine`` (clock, disk, time zone) and ``safety`` (secrets, settings of production).
"""

# In this order: what others need comes before them.
from chatbot_project.doctor import database, redis, web, work, models, mail, machine, safety  # noqa: I001

__all__ = ["database", "machine", "mail", "models", "redis", "safety", "web", "work"]
