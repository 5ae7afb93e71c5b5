"""The collector rests while a process loads, and works once it has."""

import gc

from chatbot_project.lib import collecting


def test_what_was_loaded_is_left_alone_and_collecting_goes_on() -> None:
    assert gc.isenabled(), "applications are ready"
    assert gc.get_freeze_count() > 50_000
    collecting.pause()
    try:
        assert not gc.isenabled()
        before, loaded = gc.get_freeze_count(), [[] for _ in range(1000)]
    finally:
        collecting.resume()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)
