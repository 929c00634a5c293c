"""Run SGLang's server on the CPU, with the flags of `sglang serve`, for `record_engines`; ends on SIGTERM.

The published wheel has no kernels for a CPU and imports `rotary_embedding` of vLLM's `_custom_ops`, which its own
PyTorch code replaces when it runs. The module below only lets that import succeed: SGLang's processes import this
module again.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType


def _not_called(*_: object) -> None:
    raise NotImplementedError


_operations = ModuleType("vllm._custom_ops")
_operations.__dict__["rotary_embedding"] = _not_called
sys.modules.setdefault("vllm", ModuleType("vllm"))
sys.modules.setdefault("vllm._custom_ops", _operations)


def main() -> None:
    """Serve until the process is ended; its children end with it."""
    arguments = importlib.import_module("sglang.srt.server_args").prepare_server_args(sys.argv[1:])
    try:
        importlib.import_module("sglang.srt.entrypoints.http_server").launch_server(arguments)
    finally:
        importlib.import_module("sglang.srt.utils").kill_process_tree(os.getpid(), include_parent=False)


if __name__ == "__main__":
    main()
