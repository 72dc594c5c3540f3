"""The block walk: stores, errors, and that it leaves the model as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from models.families import VOCABULARY, build, relative_error, tokens
from torch import nn

from neurosparse.errors import InputError, ModelError, StorageError
from neurosparse.models import BlockWalk, find_blocks, find_targets, watch_inputs


def walk_through(walk: BlockWalk) -> torch.Tensor:
    for index in range(walk.n_blocks):
        walk.run(index, keep=True)
    return torch.cat([walk.logits(batch) for batch in range(walk.n_batches)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_disk_store_is_bit_equal_to_memory(tmp_path: Path, dtype: torch.dtype) -> None:
    model = build("llama").to(dtype)
    ids = tokens(5, 12)
    memory = BlockWalk(model, ids, batch_size=2)
    disk = BlockWalk(model, ids, batch_size=2, store="disk", folder=tmp_path / "new")
    assert torch.equal(walk_through(memory), walk_through(disk))
    assert disk.hidden(0).dtype == dtype
    files = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert files == [f"hidden-0000{index}.npy" for index in range(3)]


def test_a_temporary_disk_store_goes_with_the_walk() -> None:
    walk = BlockWalk(build("llama"), tokens(2, 6), store="disk")
    folder = walk._store.folder  # type: ignore[attr-defined]
    assert any(folder.iterdir())
    del walk
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    walk = BlockWalk(build("llama"), tokens(2, 6), store="disk", folder=tmp_path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="full disk"):
        walk.run(0, keep=True)
    assert not list(tmp_path.glob("*.part"))


def test_hidden_states_are_those_that_the_model_reports() -> None:
    model = build("qwen3")
    ids = tokens(3, 14)
    states = model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    walk = BlockWalk(model, ids, batch_size=3)
    for index in range(walk.n_blocks):
        assert relative_error(walk.hidden(0), states[index]) < 1e-6
        walk.run(index, keep=True)


def test_keep_false_leaves_the_hidden_states() -> None:
    walk = BlockWalk(build("gemma3"), tokens(3, 10), batch_size=2)
    before = [walk.hidden(batch).clone() for batch in range(walk.n_batches)]
    walk.run(0, keep=False)
    assert all(torch.equal(walk.hidden(batch), before[batch]) for batch in range(walk.n_batches))
    walk.run(0, keep=True)
    assert not torch.equal(walk.hidden(0), before[0])


def test_run_on_and_set_hidden() -> None:
    walk = BlockWalk(build("falcon"), tokens(3, 10), batch_size=2)
    outputs = [walk.run_on(0, walk.hidden(batch), batch) for batch in range(2)]
    walk.run(0, keep=True)
    for batch, output in enumerate(outputs):
        assert torch.equal(walk.hidden(batch), output)
        walk.set_hidden(batch, output * 0)
        assert not walk.hidden(batch).any()
    with pytest.raises(InputError):
        walk.set_hidden(0, outputs[1])


def test_run_on_carries_gradients() -> None:
    walk = BlockWalk(build("llama"), tokens(2, 6), batch_size=2)
    hidden = walk.hidden(0).clone().requires_grad_(True)
    walk.run_on(0, hidden, 0).sum().backward()
    assert hidden.grad is not None and hidden.grad.abs().max() > 0


def test_arguments_common_to_all_batches_are_kept_once() -> None:
    # None of the tested families makes arguments from the tokens: batches of one size share all.
    for family in ("llama", "gemma3", "falcon_alibi", "opt"):
        walk = BlockWalk(build(family), tokens(6, 20), batch_size=2)
        for index in range(walk.n_blocks):
            first, last = walk._calls[0][index], walk._calls[2][index]
            for key, value in first.kwargs.items():
                if isinstance(value, torch.Tensor):
                    assert last.kwargs[key] is value, (family, key)


class TokenBiasBlock(nn.Module):
    """A block whose argument depends on the tokens of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return hidden + self.mix(hidden) * bias


class TokenBias(nn.Module):
    """A hand-made model: only what the walk needs."""

    def __init__(self, between: float = 1.0, blocks: int = 2) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.layers = nn.ModuleList(TokenBiasBlock() for _ in range(blocks))
        self.head = nn.Linear(8, VOCABULARY)
        self.between = between
        self.order = list(range(blocks))

    def forward(self, input_ids: torch.Tensor, use_cache: bool = True):
        import types

        assert not use_cache
        hidden = self.embed(input_ids)
        bias = input_ids[..., None].float() / VOCABULARY
        for index in self.order:
            hidden = self.layers[index](hidden, bias) * self.between
        return types.SimpleNamespace(logits=self.head(hidden))


def test_arguments_that_depend_on_the_tokens_are_kept_for_each_batch() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TokenBias().requires_grad_(False)
    ids = tokens(8, 6)
    walk = BlockWalk(model, ids, batch_size=1)
    expected = model(ids, use_cache=False).logits
    assert relative_error(walk_through(walk), expected) < 1e-6


def test_a_model_that_works_between_blocks_is_refused() -> None:
    with pytest.raises(ModelError, match="changed between blocks 0 and 1"):
        BlockWalk(TokenBias(between=0.5), tokens(2, 6))


@pytest.mark.parametrize("order", [[0], [1, 0], [0, 1, 1]])
def test_a_model_that_calls_its_blocks_otherwise_is_refused(order: list[int]) -> None:
    model = TokenBias()
    model.order = order
    if order == [0, 1, 1]:
        # The last block ends the recording, so a block called again is seen by the first pass
        # through its own index only if it is not the last.
        model.order = [0, 0, 1]
    with pytest.raises(ModelError, match="once each, in order"):
        BlockWalk(model, tokens(2, 6))


def test_the_model_is_left_as_it_was() -> None:
    model = build("mixtral")
    ids = tokens(3, 12)
    before = model(input_ids=ids, use_cache=False).logits
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    walk = BlockWalk(model, ids, batch_size=2)
    with watch_inputs(model, find_targets(model), lambda *_: None):
        walk_through(walk)
    assert torch.equal(torch.get_rng_state(), random)
    for block in find_blocks(model).modules:
        assert "forward" not in block.__dict__
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, before)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_the_model_is_left_as_it_was_after_a_failure() -> None:
    model = build("llama")

    def fail(*_: object) -> None:
        raise RuntimeError("mine")

    handle = model.model.layers[0].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="mine"):
        BlockWalk(model, tokens(2, 6))
    handle.remove()
    assert all("forward" not in block.__dict__ for block in find_blocks(model).modules)


def test_the_head_is_not_computed_while_recording() -> None:
    model = build("llama")
    called: list[int] = []
    model.lm_head.register_forward_hook(lambda *_: called.append(1))
    walk = BlockWalk(model, tokens(3, 6), batch_size=1)
    assert not called
    walk.logits(0)
    assert called == [1]


def test_progress_is_told() -> None:
    seen: list[tuple[str, int, int]] = []
    BlockWalk(build("llama"), tokens(5, 6), batch_size=2, progress=lambda *a: seen.append(a))
    assert seen == [("capture", 1, 3), ("capture", 2, 3), ("capture", 3, 3)]


@pytest.mark.parametrize(
    "ids",
    [
        torch.zeros(0, 5, dtype=torch.int64),
        torch.zeros(5, dtype=torch.int64),
        torch.zeros(2, 5),
        torch.full((2, 5), VOCABULARY),
        torch.full((2, 5), -1),
    ],
)
def test_bad_tokens_are_refused(ids: torch.Tensor) -> None:
    with pytest.raises(InputError):
        BlockWalk(build("llama"), ids)


def test_bad_options_are_refused() -> None:
    model, ids = build("llama"), tokens(2, 6)
    for options in ({"batch_size": 0}, {"store": "tape"}):
        with pytest.raises(InputError):
            BlockWalk(model, ids, **options)
    walk = BlockWalk(model, ids)
    for call in (lambda: walk.run(3, keep=True), lambda: walk.hidden(1), lambda: walk.logits(-1)):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_look_sees_the_same_inputs_without_the_rest_of_the_block(name: str) -> None:
    model = build(name)
    walk = BlockWalk(model, tokens(5, 12), batch_size=2)
    targets = [target for target in find_targets(model) if target.block == 0]
    seen: dict[str, dict[str, list[torch.Tensor]]] = {"run": {}, "look": {}}
    for way in seen:
        def see(target: object, x: torch.Tensor, way: str = way) -> None:
            seen[way].setdefault(target.name, []).append(x)  # type: ignore[attr-defined]

        finished: list[int] = []
        hook = walk.blocks.modules[0].register_forward_hook(
            lambda *_args, finished=finished: finished.append(1))
        with watch_inputs(model, targets, see):
            if way == "run":
                walk.run(0, keep=False)
            else:
                walk.look(0, [target.module_name for target in targets])
        hook.remove()
        assert len(finished) == (3 if way == "run" else 1)
    assert seen["run"].keys() == seen["look"].keys()
    for one, inputs in seen["run"].items():
        assert all(torch.equal(a, b) for a, b in zip(inputs, seen["look"][one], strict=True))


def test_look_runs_to_the_end_where_a_module_is_called_twice() -> None:
    model = build("llama")
    twice = model.model.layers[0].mlp
    plain = twice.forward
    twice.forward = lambda x: plain(x) + plain(x)
    walk = BlockWalk(model, tokens(4, 8), batch_size=2)
    calls: list[int] = []
    hook = twice.up_proj.register_forward_hook(lambda *_args: calls.append(1))
    walk.look(0, ["model.layers.0.mlp.up_proj"])
    hook.remove()
    assert len(calls) == 4


def test_products_in_another_type_keep_weights_and_hidden_states() -> None:
    model = build("llama")
    own, half = (BlockWalk(model, tokens(3, 16), dtype=dtype) for dtype in (None, torch.bfloat16))
    kinds = set()
    hook = model.model.layers[1].mlp.down_proj.register_forward_hook(
        lambda _m, _a, out: kinds.add(out.dtype))
    expected, found = walk_through(own), walk_through(half)
    hook.remove()
    assert kinds == {torch.float32, torch.bfloat16}
    assert half.hidden(0).dtype == torch.float32
    # Less is lost than in a model that is bfloat16 throughout.
    whole = walk_through(BlockWalk(build("llama").bfloat16(), tokens(3, 16)))
    assert 0 < relative_error(found, expected) < relative_error(whole.float(), expected)
