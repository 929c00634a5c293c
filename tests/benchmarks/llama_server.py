"""Run the llama.cpp server of the `xllamacpp` package, for machines on which no packaged `llama-server` runs.

Run: python llama_server.py with the flags of `llama-server` that `record_engines` uses; ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import importlib
import threading


def main() -> None:
    """Serve a model on the loopback interface until the process is ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", dest="model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jinja", action="store_true")
    parser.add_argument("-np", dest="parallel", type=int, default=1)
    parser.add_argument("-c", dest="context", type=int, required=True)
    parser.add_argument("-t", dest="threads", type=int, required=True)
    parser.add_argument("--device", choices=["none"])
    parser.add_argument("--cache-ram", type=int)
    options = parser.parse_args()
    xllamacpp = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.model_alias = {options.alias}
    parameters.hostnames = [options.host]
    parameters.port = options.port
    parameters.use_jinja = options.jinja
    parameters.n_parallel = options.parallel
    parameters.n_ctx = options.context
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    if options.device:
        parameters.n_gpu_layers = 0
    if options.cache_ram is not None:
        parameters.cache_ram_mib = options.cache_ram
    server = xllamacpp.Server(parameters)
    print(f"build {xllamacpp.BUILD_INFO}, listening on {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
