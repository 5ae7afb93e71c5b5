#!/usr/bin/env python
"""Nono's commands. Each works by itself: what it needs and finds neither configured nor running is started for it."""

import os
import sys


def main() -> None:
    """Run the command in sys.argv; what stands in its way is said in a sentence, with exit code 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot_project.settings")
    from chatbot_project.lib import collecting

    collecting.pause()  # until the applications are ready (chatbot_project/apps.py)
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. Run `make setup`, then use .venv/bin/python manage.py ...")

    from chatbot_project.embedded.processes import EmbeddedError
    from chatbot_project.embedded.services import ensure
    from chatbot_project.lib.env import BadSetting

    try:
        ensure(sys.argv)
        execute_from_command_line(sys.argv)
    except (EmbeddedError, BadSetting) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
