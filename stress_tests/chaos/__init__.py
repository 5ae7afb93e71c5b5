"""The parts of ``chaos_test`` and ``soak_test``: faults by a seed, a proxy, clients that remember, a checker."""
