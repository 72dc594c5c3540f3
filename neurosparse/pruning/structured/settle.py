"""Whole units whose parameters add up to a total."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from neurosparse.pruning.structured.groups import Group


@dataclass
class Share:
    """What one site gives.

    Attributes
    ----------
    group
        Its units.
    wanted
        Parameters that its share of the budget is.
    dropped
        Units.
    """

    group: Group
    wanted: float
    dropped: int

    @property
    def removed(self) -> int:
        """Parameters of the dropped units."""
        return self.dropped * self.group.parameters


def give_block(groups: Sequence[Group], wanted: float) -> list[Share]:
    """Divide what a block gives between its sites, heads and experts first.

    Every site gives the same share of its parameters, as nearly as its units allow; what heads and
    experts give too much or too little is left to the neurons.
    """
    fine = [group for group in groups if group.site.kind == "neurons"]
    coarse = [group for group in groups if group.site.kind != "neurons"]
    shares = _divided(coarse, wanted * _whole(coarse) / _whole(groups))
    return shares + _divided(fine, wanted - sum(share.removed for share in shares))


def _divided(groups: Sequence[Group], wanted: float) -> list[Share]:
    each = [wanted * group.whole / _whole(groups) for group in groups]
    return [Share(group, mine, group.nearest(mine / group.parameters))
            for group, mine in zip(groups, each, strict=True)]


def _whole(groups: Sequence[Group]) -> int:
    return sum(group.whole for group in groups)


def settle(shares: Sequence[Share], total: int) -> int:
    """Change units, neurons before heads and experts, until no change comes nearer to the total.

    The site that is furthest from its share changes first. What is left at the end is at most half
    the smallest change that is possible in that direction.

    Returns
    -------
    left
        ``total`` minus the parameters of all dropped units.
    """
    left = total - sum(share.removed for share in shares)
    while True:
        moves = []
        for share in shares:
            step = _step(share, left)
            if step is not None and abs(left - step * share.group.parameters) < abs(left):
                coarse = share.group.site.kind != "neurons"
                lack = (share.wanted - share.removed) * (1 if left > 0 else -1)
                moves.append((coarse, -lack, share, step))
        if not moves:
            return left
        _, _, share, step = min(moves, key=lambda move: move[:2])
        share.dropped += step
        left -= step * share.group.parameters


def _step(share: Share, left: int) -> int | None:
    """Units to the next choice in the direction of what is left, or None at the end."""
    choices = share.group.choices
    at = bisect_left(choices, share.dropped)
    if left > 0:
        return choices[at + 1] - choices[at] if at + 1 < len(choices) else None
    return choices[at - 1] - choices[at] if at > 0 and left < 0 else None
