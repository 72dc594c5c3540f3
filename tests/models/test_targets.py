"""Targets, weights and identity: rules that do not depend on the family."""

from __future__ import annotations

import pytest
import torch
from models.families import build, tokens
from torch import nn

from neurosparse.errors import InputError, ModelError
from neurosparse.models import (
    BlockWalk,
    find_blocks,
    find_targets,
    get_weight,
    identity,
    nan_check,
    set_weight,
)
from neurosparse.models.linears import fused_experts


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text and ": found " in text and "; expected " in text
    return text


def test_exclude_takes_glob_patterns_away() -> None:
    model = build("llama")
    everything = find_targets(model)
    fewer = find_targets(model, exclude=["*.down_proj", "model.layers.0.*"])
    assert {t.name for t in fewer} == {
        t.name for t in everything if t.role != "down_proj" and t.block != 0
    }
    assert find_targets(model, exclude="*.q_proj") == [t for t in everything if t.role != "q_proj"]
    with pytest.raises(ModelError) as error:
        find_targets(model, exclude=["*"])
    one_line(error)


@pytest.mark.parametrize("wrong", ["*.downproj", "down_proj", "model.layers.7.*", ""])
def test_a_pattern_that_fits_nothing_is_refused(wrong: str) -> None:
    """Or what was to stay would be pruned."""
    with pytest.raises(InputError) as error:
        find_targets(build("llama"), exclude=["*.q_proj", wrong])
    assert repr(wrong) in one_line(error) and "fits no target" in one_line(error)


def test_one_expert_can_be_excluded() -> None:
    targets = find_targets(build("mixtral"), exclude=["*gate_up_proj#2"])
    assert {t.expert for t in targets if t.role == "gate_up_proj"} == {0, 1, 3}


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "gpt_oss"])
def test_set_weight_writes_in_place_and_get_weight_is_a_view(family: str) -> None:
    model = build(family)
    for target in find_targets(model)[::5]:
        before = get_weight(model, target).clone()
        set_weight(model, target, before * 2)
        assert torch.equal(get_weight(model, target), before * 2)
        get_weight(model, target)[0, 0] = 7.0
        module = model.get_submodule(target.module_name)
        stored = module._parameters[target.parameter]
        assert stored is not None
        slice_ = stored if target.expert is None else stored[target.expert]
        assert slice_[0, 0] == 7.0


def test_set_weight_refuses_another_shape() -> None:
    model = build("phi3")
    target = next(t for t in find_targets(model) if t.shape[0] != t.shape[1])
    with pytest.raises(InputError) as error:
        set_weight(model, target, torch.zeros(target.shape[1], target.shape[0]))
    assert target.name in one_line(error)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_check_names_the_target(bad: float) -> None:
    model = build("mixtral")
    targets = find_targets(model)
    nan_check(model, targets)
    target = next(t for t in targets if t.expert == 2 and t.block == 1)
    get_weight(model, target)[3, 4] = bad
    with pytest.raises(ModelError) as error:
        nan_check(model, targets)
    assert target.name in one_line(error)


def test_a_model_without_decoder_blocks_is_refused() -> None:
    import transformers as tf

    speech = tf.Wav2Vec2Model(
        tf.Wav2Vec2Config(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            conv_dim=(8,), conv_stride=(2,), conv_kernel=(4,), num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        )
    )
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    for model in (speech, plain):
        with pytest.raises(ModelError) as error:
            find_blocks(model)
        assert type(model).__name__ in one_line(error)


def test_a_vision_tower_alone_has_blocks() -> None:
    import transformers as tf

    vision = tf.CLIPVisionModel(
        tf.CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
            image_size=16, patch_size=8,
        )
    )
    assert len(find_blocks(vision)) == 3


def test_blocks_without_dense_linears_give_no_targets() -> None:
    model = build("llama")
    for block in find_blocks(model).modules:
        block.requires_grad_(False)
        for module in block.modules():
            if isinstance(module, nn.Linear):
                module.weight = nn.Parameter(module.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(ModelError):
        find_targets(model)


def test_identity_depends_on_names_and_shapes_alone() -> None:
    first, second = build("llama", seed=0), build("llama", seed=1)
    mark = identity(first)["sha256"]
    assert identity(second)["sha256"] == mark
    assert identity(first.to(torch.bfloat16))["sha256"] == mark
    assert identity(first.to("meta"))["sha256"] == mark
    assert len({identity(build(f))["sha256"] for f in ("llama", "qwen3", "mixtral", "opt")}) == 4


def test_identity_of_a_packed_linear_is_that_of_the_dense_one() -> None:
    class Packed(nn.Module):
        def __init__(self, dense: nn.Linear) -> None:
            super().__init__()
            self.out_features, self.in_features = dense.out_features, dense.in_features
            self.register_buffer("bitmap", torch.zeros(1, dtype=torch.uint8))
            self.bias = dense.bias

    model = build("qwen2")
    mark = identity(model)
    block = find_blocks(model).modules[1]
    block.mlp.up_proj = Packed(block.mlp.up_proj)
    block.self_attn.q_proj = Packed(block.self_attn.q_proj)
    assert identity(model) == mark
    assert len(find_blocks(model)) == 3


def test_identity_without_packed_weights_differs() -> None:
    model = build("llama")
    mark = identity(model)["sha256"]
    del model.model.layers[2]
    assert identity(model)["sha256"] != mark


def test_weights_changed_under_the_walk_are_used() -> None:
    model = build("llama")
    ids = tokens(3, 10)
    walk = BlockWalk(model, ids, batch_size=2)
    for target in find_targets(model):
        if target.role in ("o_proj", "down_proj"):
            set_weight(model, target, torch.zeros(target.shape))
    before = [walk.hidden(batch).clone() for batch in range(walk.n_batches)]
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    for batch, hidden in enumerate(before):
        # With nothing written back to the residual stream a block is the identity.
        assert torch.equal(walk.hidden(batch), hidden)


def experts(up: tuple[int, ...], down: tuple[int, ...], **facts: object) -> nn.Module:
    module = nn.Module()
    module.gate_up_proj = nn.Parameter(torch.zeros(up))
    module.down_proj = nn.Parameter(torch.zeros(down))
    for name, value in facts.items():
        setattr(module, name, value)
    return module


def test_the_way_experts_lie_is_read_from_the_module_or_from_its_shapes() -> None:
    straight, turned = ((4, 24, 32), (4, 32, 12)), ((4, 32, 24), (4, 12, 32))
    for shapes, transposed in ((straight, False), (turned, True)):
        for facts in ({}, {"hidden_dim": 32}, {"hidden_size": 32}, {"is_transposed": transposed}):
            layout = fused_experts(experts(*shapes, **facts))
            assert layout is not None
            assert (layout.count, layout.transposed) == (4, transposed)
    assert fused_experts(experts((24, 32), (32, 12))) is None
    with pytest.raises(ModelError) as error:
        fused_experts(experts((4, 32, 32), (4, 32, 32)))
    one_line(error)
