"""A search whose proposer is a model behind ``transformers serve``, through the real client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runner import run
from tiny import tiny_text, tiny_tokenizer, write_tiny

from neurosparse.search import ServerCompletion

pytestmark = pytest.mark.slow
_WAIT = 300.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can chat, and two texts."""
    place = tmp_path_factory.mktemp("served")
    write_tiny(place / "model", blocks=3)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    tokenizer.save_pretrained(place / "model")
    (place / "one.txt").write_text(tiny_text(6000))
    (place / "two.txt").write_text(tiny_text(6000, seed=1))
    return place


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Of a server of its own process, on a port that was free just now."""
    pytest.importorskip("openai")
    from transformers.utils.import_utils import is_serve_available

    program = Path(sys.executable).with_name("transformers")
    if not is_serve_available() or not program.is_file():
        pytest.skip("`transformers serve` is not installed: pip install fastapi uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as out, subprocess.Popen(
            [program, "serve", str(folder / "model"), "--host", "127.0.0.1", "--port", str(port),
             "--device", "cpu"], stdout=out, stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _WAIT
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def test_a_server_answers_the_client(folder: Path, address: str) -> None:
    complete = ServerCompletion(str(folder / "model"), base_url=address, seed=3, max_tokens=6)
    first = complete("w1 w2 w3")
    assert first and complete.last_usage is not None
    read, written = complete.last_usage
    assert read == 3 and 1 <= written <= 6
    assert complete("w1 w2 w3") == first


def test_a_search_asks_a_server_and_counts_what_it_says(folder: Path, address: str) -> None:
    """Random weights write no JSON: what is tested is that every answer came and was counted."""
    done = run("search", folder / "model", "--rate", "0.3", "--evaluations", "8", "--windows", "2",
               "--window-length", "32", "--calibration-windows", "4", "--calibration",
               folder / "one.txt", "--selection", folder / "two.txt", "--out", folder / "found",
               "--proposer", "llm", "--llm", folder / "model", "--server", address,
               "--max-tokens", "8", "--json")
    assert done.code == 0, done.err
    record = done.json["proposer"]["record"]
    assert record["answers"] == 4 and record["lost"] == 0  # the population, three times again
    assert record["tokens"][0] > 4 * 50 and 4 <= record["tokens"][1] <= 4 * 8
    assert sum(record["refused"].values()) == 4 and record["fallbacks"] == 7
    assert done.json["evaluated"] == 8
