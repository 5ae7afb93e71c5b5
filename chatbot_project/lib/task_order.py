"""In which order Celery takes up what waits: first what somebody waits for or what is due (mail, exports, the
timetable), behind it what replies set going (titles, summaries, gaps), of which there may be thousands, and last what
an editor orders by the hundred and each takes a model minutes (drafts of translations).

kombu's transport keeps one Redis list per step of priority and looks at the first ones first.
"""

FIRST, BEHIND, LAST = 0, 6, 9  # three of kombu's steps, which are 0, 3, 6 and 9
_QUEUE, _SEPARATOR = "celery", "\x06\x16"  # as Celery and kombu have them by default


def key_of(priority: int | None) -> str:
    """The Redis list in which tasks of ``priority`` wait; None is FIRST, as for kombu."""
    return f"{_QUEUE}{_SEPARATOR}{priority}" if priority else _QUEUE


#: All the lists there are.
KEYS = (key_of(FIRST), key_of(BEHIND), key_of(LAST))
