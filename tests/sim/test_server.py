"""The server on its port, its tokenizers and its latency."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_lab import sim
from router_lab.sim import exchange, tokenizer
from router_lab.sim.model_request import Answer

RUN = "from router_lab import sim; sim.run(sim.app(), 0, on_ready=lambda url: print(url, flush=True))"


def test_it_listens_inside_the_block_only():
    before = _serving_threads()
    with sim.serve(sim.app()) as server:
        assert len(_serving_threads()) == len(before) + 1
        assert httpx.get(f"{server.url}/api/version").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/api/version")
    assert _serving_threads() == before


def _serving_threads() -> set[int | None]:
    """Those of servers that other tests keep running in this process, too."""
    return {thread.ident for thread in threading.enumerate() if thread.name == "router-lab-sim"}


def test_a_taken_port_is_an_error_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"), sim.serve(sim.app(), taken.getsockname()[1]):
            pass


def test_the_fixture_makes_any_number_of_servers(sim_server):
    first, second = sim_server(seed=1), sim_server(ollama_version="0.3.14")
    assert first.url != second.url
    assert httpx.get(f"{second.url}/api/version").json() == {"version": "0.3.14"}


@pytest.mark.few(1)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_it_is_told_to_stop(stop):
    with subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/api/version").status_code == 200
        process.send_signal(stop)
        assert process.wait(timeout=20) in (-stop, 0, 1, 130)


# What it is told is told to another thread, as the system may choose to.
TOLD_TO_ANOTHER = """
import signal, sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_does_not_wake_the_main_thread_is_heard(stop):
    """Regression: a signal that came just as the server began to wait was heard with the next request."""
    command = [sys.executable, "-c", TOLD_TO_ANOTHER + RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            assert httpx.get(f"{url}/api/version").status_code == 200
            process.send_signal(stop)
            assert process.wait(timeout=20) in (-stop, 0, 1, 130)
        finally:
            process.kill()


def test_importing_and_building_loads_no_tokenizer_and_no_server():
    heavy = "('tiktoken', 'uvicorn', 'mistral_common', 'pandas', 'httpx')"
    code = (
        "import sys; from router_lab import sim; sim.app(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_two_models_of_one_name_are_refused():
    twice = sim.SimModel("m", "ollama", "cl100k", 10, 1.0)
    with pytest.raises(ValueError, match="same name"):
        sim.app(models=[twice, twice])


def test_keys_are_for_known_providers():
    with pytest.raises(ValueError, match="api_keys: 'azure'"):
        sim.app(api_keys={"azure": "k"})


@pytest.mark.parametrize("name", ["cl100k", "tekken", "tekken-32k"])
def test_tokenizers_count_what_they_encode_and_decode_it_back(name):
    tokens = tokenizer.get(name)
    for text in ("", "Hello, world!", "请提取订单号。", "def f(x): return x", "<|endoftext|>", "a" * 5000):
        assert tokens.count(text) == len(tokens.encode(text)) == tokens.count(text)
        assert tokens.decode(tokens.encode(text)) == text
    assert tokens.count("\ud800") >= 1


def test_a_tokenizer_with_a_smaller_vocabulary_needs_more_tokens():
    text = (
        "Die Rückvergütung der Bürgschaftsgebühren erfolgte quartalsweise; 返金は四半期ごとに行われました。"
        * 20
    )
    counts = [tokenizer.get(name).count(text) for name in ("tekken", "tekken-32k")]
    assert counts[0] * 1.1 < counts[1]


def test_latency_is_scaled_and_the_same_for_the_same_prompt():
    model, answer = sim.DEFAULT_MODELS[0], Answer("x", 100)
    whole = exchange.waits(model, answer, "key", 1.0, pieces=0)
    assert whole == exchange.waits(model, answer, "key", 1.0, pieces=0)
    assert 0.8 * 1.32 < whole[0] < 1.3 * 1.32  # 120 ms, and 100 tokens of 12 ms
    streamed = exchange.waits(model, answer, "key", 0.5, pieces=10)
    assert streamed[0] + 10 * streamed[1] == pytest.approx(whole[0] / 2)
    assert exchange.waits(model, answer, "key", 0.0, pieces=0) == (0.0, 0.0)


def test_latency_delays_real_answers(sim_server):
    server = sim_server(latency=1000.0)
    body = {"model": "qwen2.5:7b", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/api/chat", json=body, timeout=httpx.Timeout(60, read=0.2))


@given(st.text(max_size=2000))
def test_the_pieces_of_a_stream_are_the_text(text):
    pieces = exchange.split(text)
    assert "".join(pieces) == text
    assert len(pieces) <= 42
