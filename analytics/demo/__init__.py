"""A made-up history, so that dashboards can be tried: ``manage.py seed_demo``.

Everything is drawn from a seed and a day (people.py, talks.py, answers.py: pure), then written in batches (writing.py).
All of it is marked, and removed again without a trace but in the audit trail (removing.py).
"""
