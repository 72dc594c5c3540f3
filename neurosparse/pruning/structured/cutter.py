"""Look at a dense block, choose, make the rest do, cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from neurosparse.models import BlockWalk, Target, get_weight
from neurosparse.models.resize import add_bias, resize
from neurosparse.models.sites import Kept, Site
from neurosparse.pruning.statistics import StatisticsByTarget
from neurosparse.pruning.structured.compensate import least_squares, mean_output
from neurosparse.pruning.structured.groups import Group, keep
from neurosparse.pruning.structured.masks import output_columns
from neurosparse.pruning.structured.report import SiteCut, StructuredReport
from neurosparse.pruning.structured.scores import GRADIENT, outputs_of, score_site, watch_block


@dataclass
class Cutter:
    """What stays the same from block to block.

    Attributes
    ----------
    model, method, way
        What is cut, by which metric, and how it is compensated.
    dense
        Scores measured before anything was cut, by site; the rest is scored block by block.
    dropped
        Units to drop by site.
    chosen
        What stays, where that is decided.
    report
        Is filled.
    biased
        Linears that got a bias.
    fits
        Tokens and inputs of every least-squares fit.
    """

    model: nn.Module
    method: str
    way: str
    dense: dict[str, Tensor]
    dropped: dict[str, int]
    chosen: Mapping[str, Kept]
    report: StructuredReport
    biased: list[str] = field(default_factory=list)
    fits: list[tuple[int, int]] = field(default_factory=list)

    def through(self, walk: BlockWalk, index: int, groups: Sequence[Group]) -> None:
        """Look at a dense block, choose, compensate, cut."""
        mine = [g for g in groups if self.dropped.get(g.name) or g.name in self.chosen]
        targets = outputs_of(self.model, [group.site for group in mine])
        looks = self.way != "none" or self.method not in ("magnitude", *GRADIENT)
        seen = StatisticsByTarget()
        if mine and looks:
            seen = watch_block(walk, index, targets, gram=self.way == "least_squares")
        for group in mine:
            kept = self.chosen.get(group.name)
            if kept is None:
                scores = self.dense.get(group.name)
                if scores is None:
                    scores = score_site(self.model, group.site, self.method, targets, seen)
                kept = keep(group, scores, self.dropped[group.name])
            self._cut(group.site, kept, targets, seen)

    def _cut(self, site: Site, kept: Kept, targets: Sequence[Target], seen: StatisticsByTarget
             ) -> None:
        mine = {target.name: target for target in targets}
        old = [(mine[name], seen.get(name)) for name in site.output_names()]
        if site.kind == "experts" or self.way == "none":
            self.report.sites[site.name] = resized(self.model, site, kept)
            return
        columns = output_columns(site, kept)
        rows = columns if columns.dim() == 2 else columns[None]
        weights = [get_weight(self.model, target).clone() for target, _ in old]
        self.report.sites[site.name] = resized(self.model, site, kept)
        for (target, inputs), weight, index in zip(old, weights, rows, strict=True):
            if inputs is None:
                self.report.notes.append(f"{target.name} was never reached by calibration: chosen "
                                         "by magnitude and not compensated")
            elif self.way == "least_squares" and inputs.gram is not None:
                new = least_squares(weight, inputs.gram, index)
                get_weight(self.model, target).copy_(new)  # the view is of the cut weight
                self.fits.append((inputs.count, weight.shape[1]))
            elif target.expert is None:
                bias = add_bias(self.model, target.name)
                bias += mean_output(weight, inputs.mean, index)
                self.biased.append(target.name)


def resized(model: nn.Module, site: Site, kept: Kept) -> SiteCut:
    """Cut one site; returns what stays and how many parameters went."""
    names = {part.parameter for part in site.parts}
    before = sum(model.get_parameter(name).numel() for name in names)
    resize(model, site, kept)
    after = sum(model.get_parameter(name).numel() for name in names)
    return SiteCut({axis: index.tolist() for axis, index in kept.items()}, dict(site.lengths),
                   before - after)
