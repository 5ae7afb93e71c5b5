import threading

from chatbot_project.lib.threads import started


def test_all_threads_run_from_the_start_and_work():
    pool = started(5, "early")
    try:
        assert pool.submit(lambda: 1 + 1).result(timeout=5) == 2
        assert sum(thread.name.startswith("early") for thread in threading.enumerate()) == 5
    finally:
        pool.shutdown()
    assert not any(thread.name.startswith("early") for thread in threading.enumerate())
