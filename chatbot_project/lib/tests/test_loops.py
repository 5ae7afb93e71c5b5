"""Tasks end when they are told to, even those that miss it the first time."""

import asyncio

from chatbot_project.lib.loops import cancel_until_done


async def test_a_task_that_misses_its_first_cancellation_is_ended_all_the_same() -> None:
    missed = asyncio.Event()

    async def hard_of_hearing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            missed.set()
        await asyncio.Event().wait()

    async def broken() -> None:
        raise ValueError

    tasks = [asyncio.create_task(hard_of_hearing()), asyncio.create_task(broken())]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_until_done(tasks)
    assert missed.is_set()
    assert tasks[0].cancelled()
    assert isinstance(tasks[1].exception(), ValueError)
