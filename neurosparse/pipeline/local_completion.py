"""A language model of transformers in memory as a completion for ``search``'s prompts."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from neurosparse.models import LoadedModel


class LocalCompletion:
    """``complete(prompt) -> str`` by sampling; the same prompt gives the same answer.

    Parameters
    ----------
    loaded
        The model that is asked, with its tokenizer; "self" where it is the one that is pruned.
    temperature, seed
        Of sampling; 0 takes the likeliest token.
    max_tokens
        Where an answer is cut; prompts are cut to what is left of the model's context.

    Attributes
    ----------
    last_usage
        Tokens of the last prompt and of its answer.
    """

    def __init__(self, loaded: LoadedModel, name: str, *, temperature: float = 0.7, seed: int = 0,
                 max_tokens: int = 512) -> None:
        self.model, self.temperature, self.seed = name, temperature, seed
        self.max_tokens = max_tokens
        self.last_usage: tuple[int, int] | None = None
        self._model: Any = loaded.model
        self._tokenizer: Any = loaded.tokenizer
        config = loaded.model.config
        self._context = int(getattr(config, "max_position_embeddings", 2048))

    def __call__(self, prompt: str) -> str:
        """One answer to one user message; the model's weights are as they are just now."""
        tokenizer = self._tokenizer
        if getattr(tokenizer, "chat_template", None):
            text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}],
                                                 add_generation_prompt=True, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        else:
            ids = tokenizer(prompt, return_tensors="pt").input_ids
        ids = ids[:, -max(1, self._context - self.max_tokens):]
        # Its own stream for every prompt: a resumed search asks the same and hears the same.
        digest = hashlib.sha256(f"{self.seed}\0{prompt}".encode()).digest()
        chosen: dict[str, Any] = {"do_sample": self.temperature > 0}
        if self.temperature > 0:
            chosen["temperature"] = self.temperature
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(int.from_bytes(digest[:7], "little"))
            ids = ids.to(self._model.get_input_embeddings().weight.device)
            out = self._model.generate(ids, attention_mask=torch.ones_like(ids),
                                       max_new_tokens=self.max_tokens,
                                       pad_token_id=tokenizer.eos_token_id, **chosen)
        answer = out[0, ids.shape[1]:]
        self.last_usage = (ids.shape[1], len(answer))
        return str(tokenizer.decode(answer, skip_special_tokens=True))
