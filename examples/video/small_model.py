"""A LLaVA-type model of transformers' classes, small enough to train on two cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers as hf
from small_videos import COLOURS, KINDS, SHAPES, SIDE, Sample, make
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional

from neurosparse.video import VideoProcessor, assign_tokens, family_of, resize_tokens
from neurosparse.video.ask import with_options
from neurosparse.video.decouple import Decoupled, prompt_for
from neurosparse.video.families import Prompt, Shown
from neurosparse.video.families.family import as_grid
from neurosparse.video.families.llava_onevision import vision_features
from neurosparse.video.processor import chat, ids_of
from neurosparse.video.scorers.padding import pad_prompts

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>"]
_PATCH = 8
_ORDERS = (("yes", "no"), ("no", "yes"))


@dataclass(frozen=True)
class Size:
    """Widths and depths of the two halves."""

    vision: int = 96
    vision_layers: int = 4
    text: int = 160
    text_layers: int = 5


@dataclass(frozen=True)
class Example:
    """Something to learn: pictures (or none), how many tokens they get, text, answer."""

    pictures: np.ndarray | None
    tokens: int
    scores: np.ndarray | None
    text: str
    answer: str


def make_tokenizer() -> Any:
    """Words of the questions and of all prompts of neurosparse, each one token."""
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                     pre_tokenizers.Punctuation()])
    rng = np.random.default_rng(0)
    texts = [*COLOURS, *SHAPES, "1 2 3 4 5 6 A B C D yes no null thing Step : [ ] \" ,"]
    for kind in KINDS:
        one = make(rng, 6, kind=kind)
        texts += [prompt_for(one.question), with_options(one.question, one.options),
                  scoring_text(one, _ORDERS[0], decoupled=True),
                  scoring_text(one, _ORDERS[0], decoupled=False)]
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
    """A random LLaVA-OneVision with a grid of 7 x 7 a frame, and its processor."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    vision = hf.SiglipVisionConfig(
        hidden_size=size.vision, intermediate_size=3 * size.vision, patch_size=_PATCH,
        num_hidden_layers=size.vision_layers, num_attention_heads=4, image_size=SIDE)
    text = hf.Qwen2Config(
        hidden_size=size.text, intermediate_size=3 * size.text, vocab_size=len(tokenizer),
        num_hidden_layers=size.text_layers, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=4096, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True)
    model = hf.LlavaOnevisionForConditionalGeneration(hf.LlavaOnevisionConfig(
        vision_config=vision, text_config=text, image_grid_pinpoints=[[SIDE, SIDE]],
        vision_feature_layer=-1, vision_feature_select_strategy="full",
        image_token_id=SPECIAL.index("<image>"), video_token_id=SPECIAL.index("<video>"),
        tie_word_embeddings=True))
    images = hf.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return model, VideoProcessor(images, tokenizer)


def scoring_text(one: Sample, order: tuple[str, str], *, decoupled: bool) -> str:
    """What ``AskedScorer`` asks of a frame."""
    asked = Decoupled(one.question, entities=one.entities if decoupled else ())
    return (f"{asked.scoring_question()}\nA. {order[0]}\nB. {order[1]}\n"
            "Answer with the letter only.")


def frame_example(one: Sample, rng: np.random.Generator) -> Example:
    """One frame: does it matter, or (where it does) the question itself."""
    wanted = bool(rng.integers(2))
    at = int(rng.choice(np.flatnonzero(one.matter == wanted)))
    picture = one.pictures[at : at + 1]
    if wanted and one.kind in ("colour", "shape") and rng.integers(2):
        return Example(picture, 49, None, one.question, one.answer)
    order = _ORDERS[int(rng.integers(2))]
    letter = "AB"[order.index("yes" if wanted else "no")]
    return Example(picture, 49, None, scoring_text(one, order, decoupled=bool(rng.integers(2))),
                   letter)


def video_example(one: Sample, rng: np.random.Generator) -> Example:
    """A whole video at some budget, its tokens shared by scores that are good, or bad, or even."""
    frames = len(one.pictures)
    tokens = int(frames * 49 * rng.uniform(0.1, 0.5))
    noise = rng.uniform(0.05, 1.0)
    scores = np.clip(one.matter + rng.normal(0, noise, frames), 0.02, 1)
    kind = int(rng.integers(4))
    given = np.ones(frames) if kind == 0 else scores
    if rng.integers(2):
        return Example(one.pictures, tokens, given, one.question, one.answer)
    return Example(one.pictures, tokens, given, with_options(one.question, one.options),
                   "ABCD"[one.options.index(one.answer)])


def list_example(one: Sample) -> Example:
    """Decoupling: the list of what must be seen, in the form that is read."""
    listed = ", ".join(f'"{entity}"' for entity in one.entities)
    return Example(None, 0, None, prompt_for(one.question), f"Step 1: yes Step 3: [{listed}]")


def loss_of(model: Any, processor: VideoProcessor, batch: list[Example]) -> Tensor:
    """Mean cross-entropy of the answers and their ends, of a batch."""
    family = family_of(model)
    seen = [one.pictures for one in batch if one.pictures is not None]
    grids: list[Tensor] = []
    if seen:
        pixels = torch.from_numpy(np.concatenate(seen)).permute(0, 3, 1, 2).float() / 127.5 - 1
        whole = as_grid(model.model.multi_modal_projector(vision_features(model, pixels)))
        grids = list(whole.split([len(pictures) for pictures in seen]))
    prompts, targets, starts = [], [], []
    for one in batch:
        if one.pictures is None:
            prompt = _text_prompt(model, processor, one.text)
        else:
            shown = _shown(grids.pop(0), one)
            prompt = family.prompt(model, processor, one.text, shown)
        ids = processor.tokenizer(one.answer)["input_ids"] + [processor.tokenizer.eos_token_id]
        starts.append(len(prompt))
        targets.append(torch.tensor(ids))
        prompts.append(_longer(model, prompt, ids[:-1]))
    padded, mask, _ = pad_prompts(prompts, "right")
    hidden = model.model.language_model(
        inputs_embeds=padded.embeds, position_ids=padded.positions, attention_mask=mask,
        use_cache=False).last_hidden_state
    rows = torch.cat([hidden[at, start - 1 : start - 1 + len(ids)] for at, (start, ids) in
                      enumerate(zip(starts, targets, strict=True))])
    return functional.cross_entropy(model.lm_head(rows), torch.cat(targets))


def _shown(grids: Tensor, one: Example) -> Shown:
    frames = len(grids)
    scores = np.ones(frames) if one.scores is None else one.scores
    given = assign_tokens(scores, one.tokens, full=(7, 7))
    kept = given.kept.tolist()
    rows = resize_tokens(grids[kept], [given.grids[at] for at in kept])
    return Shown(rows, kept, [float(at) for at in kept], frames, 1.0, float(frames))


def _text_prompt(model: Any, processor: VideoProcessor, text: str) -> Prompt:
    ids = ids_of(processor, chat(processor, "", text))
    return Prompt(model.get_input_embeddings()(ids), torch.arange(ids.shape[1])[None],
                  torch.zeros_like(ids, dtype=torch.bool))


def _longer(model: Any, prompt: Prompt, ids: list[int]) -> Prompt:
    more = torch.tensor([ids], dtype=torch.long)
    length = len(prompt) + len(ids)
    return Prompt(torch.cat([prompt.embeds, model.get_input_embeddings()(more)], dim=1),
                  torch.arange(length)[None],
                  torch.cat([prompt.places, torch.zeros_like(more, dtype=torch.bool)], dim=1))
