"""A language model of transformers in memory as a completion for ``search``'s prompts."""

from __future__ import annotations

import hashlib

from neurosparse.models import LoadedModel
from neurosparse.pipeline.generate import generate


class LocalCompletion:
    """``complete(prompt) -> str`` by sampling; the same prompt gives the same answer.

    Parameters
    ----------
    loaded
        The model that is asked, with its tokenizer; "self" where it is the one that is pruned.
    name
        Of the model, for the record.
    temperature, seed
        Of sampling; 0 takes the likeliest token.
    max_tokens
        Where an answer is cut.

    Attributes
    ----------
    last_usage
        Tokens of the last prompt and of its answer.
    """

    def __init__(self, loaded: LoadedModel, name: str, *, temperature: float = 0.7, seed: int = 0,
                 max_tokens: int = 512) -> None:
        self.loaded, self.model = loaded, name
        self.temperature, self.seed, self.max_tokens = temperature, seed, max_tokens
        self.last_usage: tuple[int, int] | None = None

    def __call__(self, prompt: str) -> str:
        """One answer to one user message; the model's weights are as they are just now.

        Raises
        ------
        InputError
            The prompt leaves no room in the model's context.
        """
        # Its own stream for every prompt: a resumed search asks the same and hears the same.
        digest = hashlib.sha256(f"{self.seed}\0{prompt}".encode()).digest()
        # The compiled loop would copy the weights anew for every answer.
        found = generate(self.loaded.model, self.loaded.tokenizer, prompt, loop="torch",
                         max_new_tokens=self.max_tokens, temperature=self.temperature,
                         seed=int.from_bytes(digest[:7], "little"))
        self.last_usage = (found.prompt_tokens, found.tokens)
        return found.text
