"""A process takes as many descriptors as it may have: many systems start it with 1,024, and each tab takes one."""

import resource
import subprocess
import sys

import pytest
from django.core.management import call_command

from chatbot_project.lib import descriptors

LITTLE = """
import resource
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from chatbot_project.lib.descriptors import raise_limit
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_process_that_was_started_with_few_takes_all_that_it_may_have() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    said = subprocess.run([sys.executable, "-c", LITTLE], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(hard)] * 3


@pytest.mark.parametrize("command", ["runweb", "runreplies"])
def test_processes_that_have_many_sockets_do_so_first(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def ask() -> int:
        raise Asked

    monkeypatch.setattr(descriptors, "raise_limit", ask)
    with pytest.raises(Asked):
        call_command(command)
