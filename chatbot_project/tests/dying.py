"""Runs ``module:function`` once for each point and is killed there, at that many statements of SQL, by SIGKILL.

``python -m chatbot_project.tests.dying module:function argument points…`` as a child of a test. The interpreter starts
once; each run is a fork of it, made before there is any connection. Prints one line for each point: ``killed`` or
``done``.
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import django


def run(function: Any, argument: str, point: int) -> None:
    from django.db import connection

    left = point

    def count(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, params, many, context)

    connection.execute_wrappers.append(count)
    function(argument)


def main() -> None:
    django.setup()
    module, _, name = sys.argv[1].partition(":")
    function = getattr(import_module(module), name)
    for point in map(int, sys.argv[3:]):
        child = os.fork()
        if child == 0:
            run(function, sys.argv[2], point)
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
