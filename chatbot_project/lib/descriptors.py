"""How many descriptors a process may have open: a socket is one, and many systems start a process with 1,024."""

import resource


def raise_limit() -> int:
    """As many as this process may have without asking anybody; that number."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
