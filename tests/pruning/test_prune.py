"""The pass through the blocks, against a ten-line Wanda written from the formula alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from neurosparse.budgets import Budget, BudgetTarget, Rule, Total, allocate, arithmetic
from neurosparse.errors import BudgetError, FormatError, InputError, ModelError
from neurosparse.measure import DepthErrors, sizes_only
from neurosparse.pruning import BlockFiles, prune

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64}


def llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval().requires_grad_(False)


def tokens(windows: int = 5, length: int = 12) -> torch.Tensor:
    return torch.randint(0, 64, (windows, length), generator=torch.Generator().manual_seed(1))


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    return {name: module for name, module in model.model.layers.named_modules()
            if isinstance(module, nn.Linear)}


def wanda_by_the_formula(model: LlamaForCausalLM, text: torch.Tensor, rate: float) -> dict:
    """S_ij = |W_ij| |X_j|_2, compared in each row; inputs from the pruned prefix. Equation 1."""
    masks = {}
    for layer in range(len(model.model.layers)):
        inputs: dict[str, torch.Tensor] = {}
        mine = {n: m for n, m in linears(model).items() if n.startswith(f"{layer}.")}
        hooks = [m.register_forward_hook(lambda _m, args, _o, n=n, to=inputs: to.__setitem__(
            n, args[0].reshape(-1, args[0].shape[-1]))) for n, m in mine.items()]
        model(text)
        for hook in hooks:
            hook.remove()
        for name, linear in mine.items():
            score = linear.weight.abs() * inputs[name].double().norm(dim=0)
            cut = score.sort(dim=1).values[:, round(rate * score.shape[1]) - 1 : round(
                rate * score.shape[1])]
            masks[name] = score > cut
            linear.weight.data *= masks[name]
    return masks


@pytest.mark.parametrize("batch_size", [2, 5])
def test_wanda_masks_equal_the_formula(batch_size: int) -> None:
    ours, reference = llama(), llama()
    masks = wanda_by_the_formula(reference, tokens(), 0.5)
    report = prune(ours, allocate(sizes_only(ours), 0.5), tokens(), batch_size=batch_size)
    for name, linear in linears(ours).items():
        assert torch.equal(linear.weight != 0, masks[name]), name
    assert report.sparsity == 0.5


def test_magnitude_takes_the_smallest_of_each_row() -> None:
    model, dense = llama(), llama()
    prune(model, allocate(sizes_only(model), 0.25), tokens(), method="magnitude")
    for name, linear in linears(model).items():
        before = linears(dense)[name].weight
        smallest = before.abs().argsort(dim=1)[:, : before.shape[1] // 4]
        expected = before.clone().scatter_(1, smallest, 0.0)
        assert torch.equal(linear.weight, expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.3333, 0.617, 0.9])
def test_counts_are_exact(sparsity: float) -> None:
    model = llama()
    size = sum(linear.weight.numel() for linear in linears(model).values())
    report = prune(model, allocate(sizes_only(model), sparsity), tokens())
    zeros = sum(int((linear.weight == 0).sum()) for linear in linears(model).values())
    assert zeros == sum(report.dropped.values()) == round(sparsity * size)


def test_budgets_of_blocks_reach_their_linears() -> None:
    model = llama()
    prune(model, arithmetic(3, 0.5, 0.2), tokens())
    for name, linear in linears(model).items():
        rate = float((linear.weight == 0).double().mean())
        assert rate == pytest.approx([0.3, 0.5, 0.7][int(name[0])], abs=0.01)


def _budget(*targets: tuple[str, int, float]) -> Budget:
    items = [BudgetTarget(name=n, size=s, value=v) for n, s, v in targets]
    kept = float(np.average([t.value for t in items], weights=[t.size for t in items]))
    return Budget(rule=Rule(name="hand"), total=Total(asked=kept, kept=kept), targets=items)


@pytest.mark.parametrize("targets", [
    [("model.layers.9.mlp.up_proj", 1536, 0.5)],
    [("model.layers.0.mlp.up_proj", 99, 0.5)],
    [("model.layers.0.mlp.up_proj", 1536, 0.5), ("model.layers.0", 1, 0.5)],
    [("block.3", 1, 0.5)],
])
def test_budgets_that_do_not_fit_are_refused(targets: list[tuple[str, int, float]]) -> None:
    with pytest.raises(BudgetError):
        prune(llama(), _budget(*targets), tokens())


def test_only_what_the_budget_names_is_touched() -> None:
    model, dense = llama(), llama()
    prune(model, _budget(("model.layers.1.mlp.up_proj", 1536, 0.5)), tokens())
    for name, linear in linears(model).items():
        same = torch.equal(linear.weight, linears(dense)[name].weight)
        assert same == (name != "1.mlp.up_proj")


def test_wrong_method_and_nan_weights() -> None:
    model = llama()
    with pytest.raises(InputError, match="one of alps, dsnot, magnitude"):
        prune(model, allocate(sizes_only(model), 0.5), tokens(), method="wnada")
    model.model.layers[1].mlp.up_proj.weight[3, 4] = float("nan")
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj"):
        prune(model, allocate(sizes_only(model), 0.5), tokens())


def test_cut_off_and_resumed_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    whole, again = llama(), llama()
    budget = allocate(sizes_only(whole), 0.6)
    depth, depth_again = DepthErrors(), DepthErrors()
    prune(whole, budget, tokens(), keeper=BlockFiles(tmp_path), observers=[depth])
    BlockFiles(tmp_path).path(2).unlink()
    prune(again, budget, tokens(), keeper=BlockFiles(tmp_path), observers=[depth_again])
    for name, linear in linears(whole).items():
        assert torch.equal(linear.weight, linears(again)[name].weight)
    assert np.array_equal(depth.relative_error, depth_again.relative_error)
    assert depth.relative_error.shape == (3,) and np.all(depth.relative_error > 0)


def test_a_damaged_finished_block_is_named(tmp_path: Path) -> None:
    model = llama()
    budget = allocate(sizes_only(model), 0.6)
    prune(model, budget, tokens(), keeper=BlockFiles(tmp_path))
    path = BlockFiles(tmp_path).path(1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="block-00001"):
        prune(llama(), budget, tokens(), keeper=BlockFiles(tmp_path))


def test_depth_error_is_that_of_whole_forward_passes() -> None:
    model, dense = llama(), llama()
    depth = DepthErrors(batches=9)
    prune(model, allocate(sizes_only(model), 0.6), tokens(), observers=[depth])
    for index in range(3):
        seen = []
        for net in (model, dense):
            hook = net.model.layers[index].register_forward_hook(
                lambda _m, _a, out, to=seen: to.append(out if torch.is_tensor(out) else out[0]))
            net(tokens())
            hook.remove()
        error = float((seen[0] - seen[1]).double().square().sum() / seen[1].double().square().sum())
        assert depth.relative_error[index] == pytest.approx(error, rel=1e-4)


def test_an_expert_never_reached_goes_by_magnitude_and_is_named() -> None:
    torch.manual_seed(0)
    config = MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=1)
    model = MixtralForCausalLM(config).eval().requires_grad_(False)
    gate = model.model.layers[1].mlp.gate.weight
    gate[2] = 0
    # One token a window: some expert of four sees nothing.
    text = tokens(1, 2)
    report = prune(model, allocate(sizes_only(model), 0.5), text)
    named = [note for note in report.notes if "never reached" in note]
    assert named and all("experts" in note for note in named)
    for note in named:
        name, expert = note.split(" ")[0].split("#")
        weight = model.get_parameter(name)[int(expert)]
        assert int((weight == 0).sum()) == weight.numel() // 2
        kept = torch.where(weight == 0, torch.inf, weight.abs()).amin(1)
        assert torch.isfinite(kept).all()


@pytest.mark.parametrize("method", ["magnitude", "sparsegpt"])
def test_the_report_counts_the_zeros_that_there_are(method: str) -> None:
    """More old zeros than the budget takes: they all stay, are counted, and are named."""
    model = llama()
    linears(model)["1.mlp.up_proj"].weight[:40] = 0.0
    report = prune(model, allocate(sizes_only(model), 0.5), tokens(), method=method,
                   keep_zeros=True)
    for name, linear in linears(model).items():
        assert report.dropped[f"model.layers.{name}"] == int((linear.weight == 0).sum()), name
    assert report.dropped["model.layers.1.mlp.up_proj"] == 40 * 32
    assert report.notes == ["model.layers.1.mlp.up_proj: 1280 zeros, the budget asks for 768"]
    assert report.sparsity > 0.5
