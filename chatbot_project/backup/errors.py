"""What stands in the way of a backup or a restore."""


class BackupError(Exception):
    """It cannot be made or put back; the text says why and what to do, for the operator to read."""
