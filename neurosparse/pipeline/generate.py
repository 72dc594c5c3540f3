"""Let a model write, token by token, and say how fast it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import TextStreamer

from neurosparse.errors import InputError, ModelError
from neurosparse.models import context_of
from neurosparse.sparse import find_loop
from neurosparse.sparse.loops import Loop

Say = Callable[[str], None]
Guide = Callable[[Sequence[int]], Sequence[int] | None]
"""What may come after the tokens written so far: None anything, nothing where they are enough."""


@dataclass(frozen=True)
class Generated:
    """What a model wrote.

    Attributes
    ----------
    prompt, text
        What it read, without the chat template; what it wrote.
    prompt_tokens, tokens
        How many.
    prefill_s, decode_s
        Seconds for the prompt with the first token, and for all later tokens.
    stopped
        ``"end"`` (the model ended its text), ``"guide"`` (there was enough), ``"length"`` (as
        asked), ``"context"`` (it holds no more).
    loop
        Which loop wrote.
    """

    prompt: str
    text: str
    prompt_tokens: int
    tokens: int
    prefill_s: float
    decode_s: float
    stopped: str
    loop: str

    @property
    def prefill(self) -> float:
        """Prompt tokens a second."""
        return self.prompt_tokens / self.prefill_s

    @property
    def decode(self) -> float | None:
        """Tokens a second after the first one; None where there is but one."""
        return (self.tokens - 1) / self.decode_s if self.tokens > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "prefill_tokens_per_s": self.prefill,
                "decode_tokens_per_s": self.decode}


def check_settings(max_new_tokens: int, temperature: float) -> None:
    """Refuse settings out of range.

    Raises
    ------
    InputError
        As said.
    """
    if not max_new_tokens >= 1 or not 0 <= temperature < float("inf"):
        raise InputError("generate", found=f"{max_new_tokens} tokens at temperature {temperature}",
                         expected="at least 1 token, temperature of at least 0")


def generate(
    model: Any, tokenizer: Any, prompt: str, *, max_new_tokens: int = 64, temperature: float = 0.0,
    seed: int = 0, chat: bool | None = None, loop: str | Loop = "auto",
    say: Say = lambda piece: None, opening: str = "", guide: Guide = lambda tokens: None,
) -> Generated:
    """Continue a text, or answer in a chat.

    Parameters
    ----------
    model, tokenizer
        Of transformers; the model dense or packed.
    prompt
        What to go on from.
    max_new_tokens
        How many tokens to write at most.
    temperature
        0 takes the likeliest token; above it tokens are drawn.
    seed
        Of the draws.
    chat
        Put the prompt into the tokenizer's chat template; by default where there is one.
    loop
        ``"core"``, ``"graph"``, ``"torch"`` or ``"auto"``: see ``sparse.find_loop``; or one made
        before.
    say
        Called with every piece of text as it comes.
    opening
        How the answer begins; the model goes on from there, and its text is without it.
    guide
        Says before each token which may come.

    Raises
    ------
    InputError
        A setting out of range; an empty prompt, or one that leaves no room in the context; a chat
        without a template.
    ModelError
        No tokenizer.
    """
    check_settings(max_new_tokens, temperature)
    ids = encode(tokenizer, prompt, chat=chat)
    if opening:
        more = tokenizer(opening, add_special_tokens=False, return_tensors="pt")["input_ids"]
        ids = torch.cat([ids, more.to(ids.dtype)], 1)
    ids = ids.to(model.device)
    room = _room(model, ids.shape[1])
    draws = torch.Generator().manual_seed(seed)
    pieces: Any = _Pieces(tokenizer, say)
    ends, written = _ends(model, tokenizer), list[int]()
    stopped = "length" if max_new_tokens <= room else "context"
    most = int(min(max_new_tokens, room))
    chosen = find_loop(model, ids.shape[1] + most, loop) if isinstance(loop, str) else loop
    begin = time.perf_counter()
    logits = chosen.prefill(ids)
    prefilled = time.perf_counter()
    while True:
        allowed = guide(written)
        if allowed is not None and not allowed:
            stopped = "guide"
            break
        if len(written) == most:
            break
        if written:
            logits = chosen.step(written[-1])
        written.append(_choose(logits, temperature, draws, allowed))
        if len(written) == 1:
            prefilled = time.perf_counter()
        if written[-1] in ends:
            stopped = "end"
            break
        pieces.put(torch.tensor(written[-1:]))
    finished = time.perf_counter()
    pieces.end()
    return Generated(prompt, "".join(pieces.said), ids.shape[1], len(written), prefilled - begin,
                     finished - prefilled, stopped, chosen.about)


def encode(tokenizer: Any, prompt: str, *, chat: bool | None = None) -> torch.Tensor:
    """Token ids of a prompt, int64 tensor of shape (1, length); arguments as of ``generate``.

    Raises
    ------
    InputError
        An empty prompt, or a chat without a template.
    ModelError
        No tokenizer.
    """
    if tokenizer is None:
        raise ModelError("generate", found="a model without tokenizer files",
                         expected="a folder that holds them",
                         mend="Copy tokenizer.json and tokenizer_config.json of the original "
                              "model into it.")
    has = bool(getattr(tokenizer, "chat_template", None))
    if chat and not has:
        raise InputError("generate", found="--chat with a tokenizer without chat template",
                         expected="one that has a template", mend="Use --no-chat.")
    if prompt and (has if chat is None else chat):
        found = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt",
            return_dict=True)["input_ids"]
    else:
        found = tokenizer(prompt, return_tensors="pt")["input_ids"]
    ids: torch.Tensor = found.to(torch.int64)
    if not prompt or ids.shape[1] == 0:
        raise InputError("generate", found="an empty prompt", expected="at least one token")
    return ids


def _room(model: Any, length: int) -> float:
    """How many tokens may be written after a prompt of so many."""
    context = context_of(model)
    if context is None:
        return float("inf")
    if length >= context:
        raise InputError("generate", found=f"a prompt of {length} tokens",
                         expected=f"fewer than the model's context of {context}",
                         mend="Shorten the prompt.")
    return context - length


def _ends(model: Any, tokenizer: Any) -> set[int]:
    told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    both = [*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id]
    return {one for one in both if one is not None}


def _choose(logits: torch.Tensor, temperature: float, draws: torch.Generator,
            allowed: Sequence[int] | None) -> int:
    if allowed is not None:
        among = torch.tensor(allowed)
        logits = logits.cpu()[among]
    if temperature == 0:
        place = int(logits.argmax())
    else:
        shares = torch.softmax(logits.float().cpu() / temperature, -1)
        place = int(torch.multinomial(shares, 1, generator=draws))
    return place if allowed is None else int(allowed[place])


class _Pieces(TextStreamer):
    """Whole words as they come: a token may end in the middle of a letter."""

    def __init__(self, tokenizer: Any, say: Say) -> None:
        super().__init__(tokenizer, skip_special_tokens=True)
        self.say = say
        self.said: list[str] = []

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self.said.append(text)
            self.say(text)
