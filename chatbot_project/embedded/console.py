"""What `runlocal` writes for people: a line per step while it works, then one block that says how to go on."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RULE = "-" * 72


def say(text: str = "") -> None:
    """A line on standard output, at once. A closed output is no reason to end."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError, OSError):
        pass


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show `title` while the body runs and its seconds after it: one line, on a terminal and in a file."""
    started = time.monotonic()
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        sys.stdout.write(f"  {title:.<34} ")
        sys.stdout.flush()
    try:
        yield
    except BaseException:
        say("failed" if on_terminal else f"  {title:.<34} failed")
        raise
    took = f"{time.monotonic() - started:5.1f} s"
    say(took if on_terminal else f"  {title:.<34} {took}")


def ready_block(*, address: str, admin_email: str, password: str, password_file: Path, model: str, small: bool) -> str:
    """How to go on: the address, how to sign in as admin, which model answers and how to use a better one."""
    if password:
        sign_in = f"{admin_email}  password {password}  (kept in {password_file})"
    elif password_file.exists():
        sign_in = f"{admin_email}  password in {password_file}, unless you changed it"
    else:
        sign_in = "with your own admin account"
    lines = [
        RULE,
        f"  Nono is ready:  {address}",
        "",
        f"  Admin           {address}/admin/",
        f"                  {sign_in}",
        f"  Help pages      {address}/help/  (what personas answer from; written in the admin)",
    ]
    if small:
        lines += [
            f"  Model           {model}, on this machine. It is tiny: it shows how Nono works, not what it can say.",
            "  A better one    OPENAI_API_KEY=sk-... make run",
            "                  OLLAMA_HOST=http://127.0.0.1:11434 DEFAULT_MODEL=ollama/llama3.2 make run",
            "                  more in .env.example",
        ]
    else:
        lines += [f"  Model           {model}"]
    return "\n".join([*lines, "", "  Stop            Ctrl-C (everything is kept)", RULE])
