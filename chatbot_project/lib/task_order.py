"""In which order Celery takes up what waits: first what somebody waits for or what is due (mail, exports, the
timetable), then what every reply sets going behind it (titles, summaries, gaps), of which there may be thousands.

kombu's transport keeps one Redis list per step of priority and looks at the first ones first.
"""

FIRST, BEHIND = 0, 6  # two of kombu's steps (0, 3, 6, 9), the first being the most urgent
_QUEUE, _SEPARATOR = "celery", "\x06\x16"  # as Celery and kombu have them by default


def key_of(priority: int | None) -> str:
    """The Redis list in which tasks of ``priority`` wait; None is FIRST, as for kombu."""
    return f"{_QUEUE}{_SEPARATOR}{priority}" if priority else _QUEUE


#: All the lists there are.
KEYS = (key_of(FIRST), key_of(BEHIND))
