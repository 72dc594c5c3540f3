"""The completion of a server, against a local one that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import search_cases as cases

from neurosparse.errors import MissingExtraError
from neurosparse.search import LlmProposer, Patient, ServerCompletion, search


class Handler(BaseHTTPRequestHandler):
    ideal: cases.Ideal
    requests: list[tuple[dict[str, Any], str]]
    broken = 0

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).requests.append((asked, self.headers["Authorization"]))
        if type(self).broken:
            type(self).broken -= 1
            self.send_error(503)
            return
        text = self.ideal(asked["messages"][0]["content"])
        body = json.dumps({
            "id": "1", "object": "chat.completion", "created": 0, "model": "toy",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Handler.ideal, Handler.requests = cases.Ideal(cases.fitness().optimum), []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_search_through_a_server(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-someone-else")
    complete = ServerCompletion("toy", base_url=address, temperature=0.4, seed=5, max_tokens=99)
    Handler.broken = 2
    space = cases.space()
    made = LlmProposer(space, Patient(complete, backoff=0), population=4)
    found = search(space, cases.plain, made, 10, takes="values", batch=5)
    assert found.value < 1.1 and made.record.fallbacks == 0
    assert made.record.tokens == [7 * made.record.answers, 3 * made.record.answers]
    assert (made.record.model, made.record.temperature, made.record.seed) == ("toy", 0.4, 5)
    asked, _key = Handler.requests[0]
    assert (asked["temperature"], asked["seed"], asked["max_tokens"]) == (0.4, 5, 99)
    assert {key for _, key in Handler.requests} == {"Bearer none"}
    assert len(Handler.requests) == made.record.answers + 2


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r'pip install "neurosparse\[search\]"'):
        ServerCompletion("toy")
