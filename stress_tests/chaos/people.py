"""All clients of a run: made before it, and read afterwards."""

from pathlib import Path

from .checker import Told
from .client import Client, Habits, Witness
from .history import History, read_history
from .stack import ChaosStack


def histories(stack: ChaosStack) -> Path:
    """Where clients write."""
    return stack.directory / "histories"


def make_clients(stack: ChaosStack, witness: Witness, habits: Habits, seed: int) -> list[Client]:
    """One for each session, in its order."""
    histories(stack).mkdir()
    clients = []
    for number, key in enumerate(stack.sessions):
        history = History(histories(stack) / f"c{number}.jsonl")
        clients.append(Client(f"c{number}", key, stack.browser_ports, history, witness, habits, seed))
    return clients


async def told(stack: ChaosStack, clients: list[Client]) -> Told:
    """What the run left behind, once the clients are done."""
    found = await stack.rows()
    return Told(
        histories={client.name: list(read_history(client.history.path)) for client in clients},
        owners={client.name: owner for client, owner in zip(clients, stack.sessions.values(), strict=True)},
        rows=found["rows"],
        finished=stack.questions_finished(found["rest"]),
        rest=found["rest"],
    )
