"""``complete(prompt) -> str`` from any server that speaks OpenAI's protocol (extra ``search``)."""

from __future__ import annotations

from typing import Any

from neurosparse.errors import MissingExtraError
from neurosparse.search.form import Form


class ServerCompletion:
    """A chat model behind ``transformers serve``, llama.cpp, vLLM, Ollama, or OpenAI itself.

    Parameters
    ----------
    model
        As the server calls it.
    base_url
        ``http://localhost:8000/v1``. None is OpenAI, with the key of the environment; to any other
        address only the key given here is ever sent.
    api_key
        Most local servers want none.
    temperature, seed
        Sent with every prompt; None leaves them to the server.
    max_tokens
        Where an answer is cut.
    timeout
        Seconds for one answer.
    shaped
        Send the form of the answer as a JSON schema (``response_format``), to which llama.cpp,
        vLLM, Ollama and OpenAI hold a model; others ignore or refuse it.

    Attributes
    ----------
    last_usage
        Tokens of the last prompt and of its answer, or None where the server does not say.

    Raises
    ------
    MissingExtraError
        The package ``openai`` is not installed.
    """

    def __init__(self, model: str, *, base_url: str | None = None, api_key: str | None = None,
                 temperature: float | None = 0.7, seed: int | None = 0, max_tokens: int = 4096,
                 timeout: float = 120.0, shaped: bool = False) -> None:
        try:
            from openai import OpenAI
        except ModuleNotFoundError as error:
            raise MissingExtraError("import openai", found="no module 'openai'",
                                    expected="the extra 'search' of neurosparse",
                                    mend='pip install "neurosparse[search]"') from error
        self.model, self.temperature, self.seed = model, temperature, seed
        self.max_tokens, self.shaped = max_tokens, shaped
        self.last_usage: tuple[int, int] | None = None
        key = api_key if api_key is not None or base_url is None else "none"
        # Patience is the caller's: Patient tries again, with what the user asked for.
        self._client: Any = OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=0)

    def __call__(self, prompt: str, form: Form | None = None) -> str:
        """One answer to one user message."""
        asked: dict[str, Any] = {"model": self.model, "max_tokens": self.max_tokens,
                                 "messages": [{"role": "user", "content": prompt}]}
        if self.temperature is not None:
            asked["temperature"] = self.temperature
        if self.seed is not None:
            asked["seed"] = self.seed
        if self.shaped and form is not None:
            asked["response_format"] = {"type": "json_schema", "json_schema": {
                "name": form.name, "schema": form.schema(), "strict": True}}
        self.last_usage = None
        reply = self._client.chat.completions.create(**asked)
        if reply.usage is not None:
            self.last_usage = (int(reply.usage.prompt_tokens), int(reply.usage.completion_tokens))
        return str(reply.choices[0].message.content or "")
