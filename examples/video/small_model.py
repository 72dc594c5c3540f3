"""A LLaVA-type model of transformers' classes, small enough to train on two cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers as hf
from small_videos import COLOURS, SHAPES, SIDE, THING, Asked, make
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from neurosparse.video import VideoProcessor
from neurosparse.video.ask import with_options
from neurosparse.video.decouple import Decoupled, prompt_for

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>"]
ORDERS = (("yes", "no"), ("no", "yes"))


@dataclass(frozen=True)
class Size:
    """Widths and depths of the two halves."""

    vision: int = 64
    vision_layers: int = 3
    text: int = 128
    text_layers: int = 5


def scoring_text(one: Asked, order: tuple[str, str], *, decoupled: bool) -> str:
    """What ``AskedScorer`` asks of a frame."""
    asked = Decoupled(one.question, entities=one.entities if decoupled else ())
    return (f"{asked.scoring_question()}\nA. {order[0]}\nB. {order[1]}\n"
            "Answer with the letter only.")


def make_tokenizer() -> Any:
    """Words of the questions and of all prompts of neurosparse, each one token.

    So is an option with its letter (``A. yes``), as a merge of a large tokenizer would be.
    """
    split = pre_tokenizers.Split(Regex(r"[A-D]\. \w+|\w+|[^\w\s]"), "removed", invert=True)
    rng = np.random.default_rng(0)
    answers = [*COLOURS, *SHAPES, *"1234", "yes", "no"]
    texts = [*answers, "A B C D null something thing is there a Step : [ ] \" ,",
             *(f"{letter}. {answer}" for letter in "ABCD" for answer in answers)]
    for one in make(rng, 6).asked:
        texts += [prompt_for(one.question, options=one.options),
                  with_options(one.question, one.options),
                  scoring_text(one, ORDERS[0], decoupled=True),
                  scoring_text(one, ORDERS[0], decoupled=False)]
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text)}
    core = Tokenizer(models.WordLevel(
        {word: at for at, word in enumerate([*SPECIAL, *sorted(words - set(SPECIAL))])},
        unk_token="<unk>"))
    core.pre_tokenizer = split
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>",
                                           pad_token="<pad>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[4:]})
    return tokenizer


def make_model(size: Size, seed: int) -> tuple[Any, VideoProcessor]:
    """A random LLaVA-OneVision with a grid of 5 x 5 a frame, and its processor."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    vision = hf.SiglipVisionConfig(
        hidden_size=size.vision, intermediate_size=3 * size.vision, patch_size=THING,
        num_hidden_layers=size.vision_layers, num_attention_heads=4, image_size=SIDE)
    text = hf.Qwen2Config(
        hidden_size=size.text, intermediate_size=3 * size.text, vocab_size=len(tokenizer),
        num_hidden_layers=size.text_layers, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
        # 0.02 is for widths of thousands: here attention would begin all but uniform.
        initializer_range=size.text**-0.5)
    model = hf.LlavaOnevisionForConditionalGeneration(hf.LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_grid_pinpoints=[[SIDE, SIDE]],
        vision_feature_layer=-1, vision_feature_select_strategy="full",
        image_token_id=SPECIAL.index("<image>"), video_token_id=SPECIAL.index("<video>"),
        tie_word_embeddings=True))
    _look_up(model.model.language_model.layers)
    words = tokenizer.get_vocab()
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        for word, at in words.items():
            letter, dot, answer = word.partition(". ")
            if dot:
                table[at] = table[words[letter]] + table[words[answer]]
    images = hf.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return model, VideoProcessor(images, tokenizer)


def _look_up(layers: Any) -> None:
    """Begin with attention that finds what is alike and copies it.

    Keys as queries and the way out as the way in turned round, so that both products are near
    the identity (as mimetic initialisation, arXiv 2305.09828, has it for queries and keys).
    Finding it out from random weights takes longer than all the rest of the training.
    """
    with torch.no_grad():
        for layer in layers:
            attention = layer.self_attn
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)
