"""The loop behind ``losa`` and ``recover``: prune, learn, prune, or learn alone.

With all that is needed to go on after a kill.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurosparse.adaptation.block_errors import BlockErrors, dense_outputs
from neurosparse.adaptation.checkpoint import Checkpoints
from neurosparse.adaptation.layer import MaskedLora
from neurosparse.adaptation.learners import KeptValues, LowRank, masks_of
from neurosparse.adaptation.options import LosaOptions
from neurosparse.adaptation.rates import Rates, ranks_of
from neurosparse.adaptation.rerank import set_rank
from neurosparse.adaptation.result import LosaResult
from neurosparse.adaptation.schedule import batches_of_steps, cubic, rank_path
from neurosparse.adaptation.training import Training, order_of, rate_at
from neurosparse.budgets import Profile, check_profile
from neurosparse.errors import ModelError
from neurosparse.models import Target, find_targets, get_weight, identity, set_weight
from neurosparse.progress import Progress
from neurosparse.pruning import Refit, prune
from neurosparse.pruning.pattern import Pattern
from neurosparse.records import peak_memory
from neurosparse.sparse.bits import pack_bits, unpack_bits

Watch = Callable[[dict[str, Any]], None]
"""Called after every optimiser step with its number, loss, rate, mean rank, seconds, memory."""

# Tokens whose dense block outputs are kept for the reconstruction errors.
_ERROR_TOKENS = 4096


class Loop:
    """One run; see ``losa`` and ``recover`` for what it is given."""

    def __init__(self, model: nn.Module, data: Tensor, calibration: Tensor | None,
                 options: LosaOptions, teacher: nn.Module | None, dtype: torch.dtype | None,
                 progress: Progress, profile: Profile | None = None) -> None:
        self.model, self.data, self.options, self.dtype = model, data, options, dtype
        self.calibration = (data if calibration is None else calibration)[: options.windows]
        self.progress = progress
        self.targets = find_targets(model)
        if profile is not None:
            check_profile(profile, model=identity(model))
        self.by_name = {one.name: one for one in self.targets}
        self.original = ({one.name: get_weight(model, one).clone() for one in self.targets}
                         if options.regrow else {})
        model.requires_grad_(False)
        found = self._sparsity()
        self.sparsities = ([found] if options.sparsity is None else
                           cubic(options.sparsity, options.steps, start=found))
        self.order = order_of(len(data), options.train)
        self.shares = batches_of_steps(len(self.order), options.steps)
        self.means = rank_path(options.rank, options.steps)
        self.rates = Rates(options, dtype, progress, profile)
        self.learner: LowRank | KeptValues = (
            KeptValues(model, self.targets) if options.update == "values" else
            LowRank(model, self.targets, options.most, scale=options.scale,
                    dropout=options.dropout, seed=options.train.seed))
        self.teacher, self.given = teacher, teacher is not None
        if options.train.taught and teacher is None:
            self.teacher = copy.deepcopy(model).eval()
        self.dense: list[list[Tensor]] | None = None
        self.training: Training | None = None
        self.masks: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.files: Checkpoints | None = None
        self.found: Any = None

    def keep_in(self, folder: str | Path, resume: bool) -> None:
        """Checkpoints, and what an earlier run left of them."""
        digest = hashlib.sha256(self.data.cpu().numpy().tobytes()
                                + self.calibration.cpu().numpy().tobytes())
        dense = ({"teacher": _weights_hash(self.teacher, find_targets(self.teacher))}
                 if self.given and self.teacher is not None else {})
        self.files = Checkpoints(folder, {
            **self.options.as_dict(), "data": digest.hexdigest(), "dtype": str(self.dtype),
            "model": identity(self.model)["sha256"], "threads": torch.get_num_threads(),
            "weights": _weights_hash(self.model, self.targets), **dense}, resume=resume)
        self.found = self.files.read()

    def run(self, watch: Watch) -> LosaResult:
        """All steps, or those that are left."""
        first, batch = self._go_on() if self.found is not None else (0, 0)
        for step in range(first, self.options.steps):
            if step > first or self.found is None:
                if self.options.sparsity is None:
                    self._hold()
                else:
                    self._prune(step)
                self._attach(step)
                batch = 0
                self._write_step(step)
            self._train(step, batch, watch)
        self.learner.detach()
        self.model.eval()
        return LosaResult(self._sparsity(), self.history, self.masks)

    def _sparsity(self) -> float:
        zero = sum(int((get_weight(self.model, one) == 0).sum()) for one in self.targets)
        return zero / sum(one.size for one in self.targets)

    def _hold(self) -> None:
        """Nothing goes: the masks are what is there, every rank is the same."""
        self.masks = masks_of(self.model, self.targets)
        same = ranks_of(self.targets, np.zeros(0), self.options.rank, self.options)
        self.history.append({
            "asked": None, "sparsity": self._sparsity(), "losses": [],
            "rates": {name: 1 - float(mask.sum()) / mask.numel()
                      for name, mask in self.masks.items()},
            "errors": [], "seconds": 0.0, "ranks": same})

    def _prune(self, step: int) -> None:
        """Plain model in, pruned model and masks out."""
        options, model = self.options, self.model
        if step:
            self.learner.detach()
        model.eval()
        errors = self._observer()
        nested = not options.regrow
        for name, weight in self.original.items():
            if name in self.masks:  # what is gone may come back as it was
                learnt = get_weight(model, self.by_name[name])
                learnt.copy_(torch.where(self.masks[name], learnt, weight))
        gone = ({one.name: 1 - float(self.masks[one.name].sum()) / one.size
                 for one in self.targets} if nested and self.masks else {})
        last = step == options.steps - 1
        budget = self.rates.at(model, self.calibration, self.sparsities[step], gone, last)
        pattern = options.pattern
        if pattern is not None and not last:
            pattern = f"n:{Pattern.read(pattern).group}"
        prune(model, budget, self.calibration, method=options.method, dtype=self.dtype,
              batch_size=options.batch_size, pattern=pattern, keep_zeros=nested,
              refit=None if options.refit is None else Refit(strength=options.refit),
              observers=[errors], progress=self.progress)
        self.masks = masks_of(model, self.targets)
        by = self.rates.block_damage() if options.ranks == "damage" else errors.errors
        self.history.append({
            "asked": self.sparsities[step], "sparsity": self._sparsity(), "losses": [],
            "rates": {one.name: 1 - float(self.masks[one.name].sum()) / one.size
                      for one in self.targets},
            "errors": errors.errors.tolist(), "seconds": 0.0,
            "ranks": ranks_of(self.targets, by, self.means[step], options)})

    def _observer(self) -> BlockErrors:
        if self.dense is None:  # the first step: the model is dense still
            count = max(1, _ERROR_TOKENS // self.calibration.shape[1])
            size = self.options.batch_size
            count = min(len(self.calibration), max(size, count // size * size))
            self.dense = dense_outputs(self.model, self.calibration[:count], batch_size=size,
                                       dtype=self.dtype)
        return BlockErrors(self.dense)

    def _attach(self, step: int) -> None:
        """Learners on, with the ranks of this step."""
        self.learner.attach(self.masks)
        training = self._trainer()
        if isinstance(self.learner, KeptValues):
            self.learner.forget(training.optimiser.state)
        else:
            ranks = self.history[step]["ranks"]
            for name, layer in self.learner.layers.items():
                set_rank(layer, ranks[name], state=training.optimiser.state)

    def _trainer(self) -> Training:
        """One optimiser for the whole run."""
        if self.training is None:
            self.training = Training(self.model, self.learner.parameters(), sum(self.shares),
                                     self.options.train, self.teacher)
            if self.options.train.checkpointing:
                enable: Any = self.model.gradient_checkpointing_enable
                enable({"use_reentrant": False})
        return self.training

    def _train(self, step: int, batch: int, watch: Watch) -> None:
        assert self.training is not None
        self.model.train()
        before = sum(self.shares[:step])
        record, label = self.history[step], "learn"
        if self.options.sparsity is not None:
            label += f" at {self.sparsities[step]:.1%}"
        rank = float(np.mean(list(record["ranks"].values())))
        for number in range(batch, self.shares[step]):
            begin = time.perf_counter()
            loss = self.training.step(self.data[self.order[before + number]])
            spent = time.perf_counter() - begin
            record["losses"].append(loss)
            record["seconds"] += spent
            watch({"step": before + number + 1, "sparsity": record["sparsity"], "loss": loss,
                   "rate": rate_at(before + number, sum(self.shares), self.options.train),
                   "rank": rank, "seconds": spent, "memory_bytes": peak_memory()})
            self.progress(label, number + 1, self.shares[step])
            if (number + 1) % self.options.every == 0 or number + 1 == self.shares[step]:
                self._write_state(step, number + 1)

    def _write_step(self, step: int) -> None:
        if self.files is None:
            return
        tensors = {f"weight:{one.name}": _weight_of(self.model, one) for one in self.targets}
        tensors |= {f"mask:{one.name}": pack_bits(self.masks[one.name]) for one in self.targets}
        self.files.write_step(step, tensors)
        self._write_state(step, 0)

    def _write_state(self, step: int, batch: int) -> None:
        if self.files is None or self.training is None:
            return
        tensors = {f"parameter:{number}": one.data
                   for number, one in enumerate(self.training.parameters)}
        tensors |= {f"moment:{key}": one for key, one in self.training.state().items()}
        self.files.write_state(tensors, {"step": step, "batch": batch, "history": self.history,
                                         "done": self.training.done})

    def _go_on(self) -> tuple[int, int]:
        """Put everything back as it was; where to go on."""
        weights, state, about = self.found
        if self.options.steps > 1:
            self._observer()  # while the model is dense
            self._again()
        for target in self.targets:
            set_weight(self.model, target, weights[f"weight:{target.name}"])
            bits = weights[f"mask:{target.name}"].to(get_weight(self.model, target).device)
            self.masks[target.name] = unpack_bits(bits, target.shape[1])
        self.history = about["history"]
        step = int(about["step"])
        self.learner.attach(self.masks)
        if isinstance(self.learner, LowRank):
            for name, layer in self.learner.layers.items():
                layer.rank["default"] = self.history[step]["ranks"][name]
        training = self._trainer()
        with torch.no_grad():
            for number, parameter in enumerate(training.parameters):
                parameter.copy_(state[f"parameter:{number}"])
        moments = {key.removeprefix("moment:"): one for key, one in state.items()
                   if key.startswith("moment:")}
        losses = [loss for record in self.history for loss in record["losses"]]
        training.put_back(moments, int(about["done"]), losses)
        return step, int(about["batch"])

    def _again(self) -> None:
        """A profile that is measured once is measured on the dense model, which is here now."""
        if self.options.rule != "representation":
            self.rates.at(self.model, self.calibration, self.sparsities[0], {}, False)


def _weight_of(model: nn.Module, target: Target) -> Tensor:
    """The weight below an adapter, or the plain one."""
    module = model.get_submodule(target.module_name)
    return module.base_weight() if isinstance(module, MaskedLora) else get_weight(model, target)


def _weights_hash(model: nn.Module, targets: list[Target]) -> str:
    """Which weights it began with: sums are enough to tell models apart."""
    sums = [float(get_weight(model, one).double().square().sum()) for one in targets]
    if not np.all(np.isfinite(sums)):
        raise ModelError("adapt", found="NaN or infinite weights", expected="finite weights")
    return hashlib.sha256(np.array(sums).tobytes()).hexdigest()
