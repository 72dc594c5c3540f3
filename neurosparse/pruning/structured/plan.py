"""From a budget to whole units for every site, with the total of parameters kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from neurosparse.budgets import Budget, BudgetTarget
from neurosparse.errors import BudgetError
from neurosparse.models import find_blocks, find_targets
from neurosparse.models.sites import Kept
from neurosparse.pruning.structured.groups import Group, keep
from neurosparse.pruning.structured.settle import Share, give_block, settle


@dataclass
class Plan:
    """Units to drop.

    Attributes
    ----------
    dropped
        By the name of the site.
    asked
        Parameters that the budget promises to remove.
    removed
        Parameters that go with the dropped units: as near to ``asked`` as the units allow.
    size
        Parameters of the linear maps that the budget's rates are shares of.
    notes
        Where something else was done than asked.
    """

    dropped: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    removed: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)


def make_plan(model: nn.Module, budget: Budget | Sequence[Budget], groups: Sequence[Group]) -> Plan:
    """How many units of every site go.

    A budget of kind ``"sparsity"`` names linears or blocks (``model.layers.0``, or ``block.0`` of
    any model); a block's rate is their mean by size, and heads and neurons give the same share as
    nearly as whole heads can; neurons make up the difference, in the block and then in the whole
    model, so that the total removed is the total asked to within half a unit of neurons. Or it
    names sites (``model.layers.0.self_attn``), each with a rate of its own; neurons of any block
    make up what whole heads cannot give.

    Budgets of kind ``"heads"``, ``"neurons"`` and ``"experts"`` say how many stay, of blocks or of
    sites (``model.layers.0.self_attn``; of heads all query heads together). One of each kind may
    be given.

    Parameters
    ----------
    model
        The model; meta tensors will do.
    groups
        From ``find_groups``.

    Raises
    ------
    BudgetError
        Another kind, two budgets of a kind, a name that the model does not have or that comes
        twice, another size than the model's, a number that is not whole or not there.
    """
    budgets = [budget] if isinstance(budget, Budget) else list(budget)
    kinds = [item.kind for item in budgets]
    allowed = {"sparsity"} if "sparsity" in kinds else {"heads", "neurons", "experts"}
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= allowed:
        raise BudgetError("plan structures", found=f"budgets of kind {kinds}",
                          expected="one of kind 'sparsity', or one each of 'heads', 'neurons' and "
                                   "'experts'")
    sizes = [0] * len(find_blocks(model))
    for target in find_targets(model):
        sizes[target.block] += target.size
    plan = Plan(size=sum(sizes))
    if kinds == ["sparsity"]:
        of_sites, rest = _of_sites(budgets[0], groups)
        own = {group.site.block for group in groups if group.name in of_sites}
        asked = _asked(model, rest, sizes, own)
        _by_rate(plan, groups, asked, of_sites)
    else:
        for item in budgets:
            _by_count(plan, model, item, groups)
    parameters = {group.name: group.parameters for group in groups}
    plan.removed = sum(count * parameters[name] for name, count in plan.dropped.items())
    if kinds != ["sparsity"]:
        plan.asked = plan.removed
    return plan


def choose(groups: Sequence[Group], scores: Mapping[str, Tensor], plan: Plan) -> dict[str, Kept]:
    """What stays of every site that gives something, for ``masked`` and ``cut``.

    Parameters
    ----------
    scores
        From ``structured_scores``.

    Raises
    ------
    InputError
        Scores of another model.
    """
    return {group.name: keep(group, scores[group.name], plan.dropped[group.name])
            for group in groups if plan.dropped.get(group.name)}


def _of_sites(budget: Budget, groups: Sequence[Group]
              ) -> tuple[dict[str, float], list[BudgetTarget]]:
    """Parameters that sites are to give by name, and the targets that are no sites."""
    by_name = {group.name: group for group in groups}
    found: dict[str, float] = {}
    rest = []
    for item in budget.targets:
        group = by_name.get(item.name)
        if group is None:
            rest.append(item)
        elif item.size not in (1, group.whole):
            raise BudgetError("plan structures", found=f"{item.name} with {item.size} parameters",
                              expected=f"{group.whole}, as in the model")
        else:
            found[item.name] = item.value * group.whole
    return found, rest


def _asked(model: nn.Module, items: Sequence[BudgetTarget], sizes: Sequence[int],
           taken: Collection[int]) -> list[float]:
    """Parameters that every block is to give; ``taken``: blocks whose sites have their rates."""
    blocks = find_blocks(model)
    targets = {target.name: target for target in find_targets(model)}
    asked, seen = [0.0] * len(sizes), [0] * len(sizes)
    for item in items:
        block = _block(blocks.names, item.name)
        if block is not None:
            size = sizes[block]
        elif item.name in targets:
            block, size = targets[item.name].block, targets[item.name].size
            if size != item.size:
                raise BudgetError("plan structures", found=f"{item.name} with {item.size} "
                                  "parameters", expected=f"{size}, as in the model")
        else:
            raise _unknown(item.name)
        asked[block] += item.value * size
        seen[block] += size + sizes[block] * (block in taken)
    for name, had, size in zip(blocks.names, seen, sizes, strict=True):
        if had > size:
            raise BudgetError("plan structures", found=f"{name} twice in the budget",
                              expected="each block, or each of its linears, once")
    return asked


def _block(names: Sequence[str], name: str) -> int | None:
    if name in names:
        return names.index(name)
    number = name.removeprefix("block.")
    found = int(number) if name.startswith("block.") and number.isdigit() else None
    return found if found is not None and found < len(names) else None


def _unknown(name: str) -> BudgetError:
    return BudgetError("plan structures", found=f"target {name!r} in the budget",
                       expected="a block of the model, or what in it can be cut",
                       mend="The budget was made for another model?")


def _by_rate(plan: Plan, groups: Sequence[Group], asked: Sequence[float],
             of_sites: Mapping[str, float]) -> None:
    named = [group for group in groups if group.name in of_sites]
    shares = [Share(group, of_sites[group.name],
                    group.nearest(of_sites[group.name] / group.parameters)) for group in named]
    own = {group.site.block for group in named}
    for block, wanted in enumerate(asked):
        mine = [g for g in groups if g.site.block == block and block not in own]
        shares += give_block(mine, wanted) if mine else []
    plan.asked = round(sum(asked) + sum(of_sites.values()))
    left = settle(shares, plan.asked)
    plan.dropped = {share.group.name: share.dropped for share in shares}
    plan.notes += _coarse(shares)
    # Half a step of neurons is what whole units cannot avoid.
    fine = [share.group for share in shares if share.group.site.kind == "neurons"]
    steps = [group.parameters * group.step for group in fine]
    if 2 * abs(left) > min(steps, default=0):
        plan.notes.append(f"{plan.asked} parameters were to go; whole units reach "
                          f"{plan.asked - left}")


def _coarse(shares: Sequence[Share]) -> list[str]:
    """Say where the rate asked of heads or experts is not one that whole ones reach."""
    found: dict[tuple[str, str, str], int] = {}
    fine = any(share.group.site.kind == "neurons" for share in shares)
    rest = "; neurons make up the difference" if fine else ""
    for share in shares:
        group = share.group
        reached = share.dropped * group.parameters
        if group.site.kind == "neurons" or abs(reached - share.wanted) < 1:
            continue
        what = "query heads of each group" if group.queries else (
            "experts" if group.site.kind == "experts" else
            "heads" if group.site.per_group == 1 else "groups of heads")
        key = (what, f"{share.wanted / group.whole:.3f}", f"{reached / group.whole:.3f}: "
               f"{share.dropped} of {group.count}")
        found[key] = found.get(key, 0) + 1
    return [f"{what}: {times} block{'s' * (times > 1)} cannot give the rate of {asked}; the "
            f"nearest is {reached}{rest}"
            for (what, asked, reached), times in found.items()]


def _by_count(plan: Plan, model: nn.Module, budget: Budget, groups: Sequence[Group]) -> None:
    names = find_blocks(model).names
    mine = [group for group in groups if group.site.kind == budget.kind]
    for item in budget.targets:
        block = _block(names, item.name)
        found = [group for group in mine if group.name == item.name or group.site.block == block]
        if not found:
            raise _unknown(item.name)
        for group in found:
            if group.name in plan.dropped:
                raise BudgetError("plan structures", found=f"{group.name} twice in the budget",
                                  expected="once")
            plan.dropped[group.name] = _dropped(plan, group, item.value)


def _dropped(plan: Plan, group: Group, stay: float) -> int:
    length = group.site.lengths[group.site.kind]
    if stay != int(stay) or not 1 <= stay <= length:
        raise BudgetError("plan structures", found=f"{stay:g} {group.site.kind} for {group.name}",
                          expected=f"a whole number from 1 to {length}")
    each = length / group.count
    dropped = group.nearest((length - stay) / each)
    if dropped * each != length - stay:
        plan.notes.append(f"{group.name}: {stay:g} {group.site.kind} cannot stay; the nearest is "
                          f"{length - dropped * each:g}")
    return dropped
