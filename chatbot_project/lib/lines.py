"""Files that whole lines are added to, each on the disk before anybody relies on it."""

import os
from typing import BinaryIO


def remove_cut_line(file: BinaryIO) -> None:
    """Remove what a crash left of a line that it cut off at the end. ``file`` is locked: so nobody is writing it still,
    and nobody relied on it. On the disk: what is written next must not come to stand behind it. Raises OSError."""
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
        os.fsync(file.fileno())
