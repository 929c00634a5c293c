"""Start and end of the simulator as a separate process. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Sequence

from playground.child_process import ServerProcess, StartError


class SimulatorError(Exception):
    """The simulator's process did not start; the message is for the user."""


class SimulatorProcess(ServerProcess):
    """A running simulator process."""

    @classmethod
    def start(cls, extra_args: Sequence[str] = ()) -> SimulatorProcess:
        """Start a simulator and wait until it listens. Raises SimulatorError."""
        # The simulator must not inherit the key of the real service.
        environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
        try:
            return cls.launch(("simulator", *extra_args), environment)
        except StartError as error:
            raise SimulatorError(f"The built-in simulator did not start: {error}") from error
