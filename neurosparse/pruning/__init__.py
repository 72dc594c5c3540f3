"""Take weights away: methods, masks with exact counts, and the pass through the blocks."""

from neurosparse.pruning.admm import sparse_least_squares
from neurosparse.pruning.checkpoint import BlockFiles
from neurosparse.pruning.masked_cg import masked_least_squares
from neurosparse.pruning.masks import lowest_by_row, lowest_overall, row_counts, row_order
from neurosparse.pruning.methods import (
    METHODS,
    Method,
    Solver,
    compensates,
    find_method,
    is_solver,
    propagation_options,
)
from neurosparse.pruning.observe import BlockReport, Keeper, Observer
from neurosparse.pruning.pattern import Pattern, lowest_by_group
from neurosparse.pruning.prune import PruneReport, check_widths, prune
from neurosparse.pruning.refit import Refit
from neurosparse.pruning.resolve import drop_counts
from neurosparse.pruning.round_model import RoundReport, round_model
from neurosparse.pruning.rounding import Rounded, round_weight
from neurosparse.pruning.statistics import InputStatistics, StatisticsByTarget

__all__ = [
    "METHODS",
    "BlockFiles",
    "BlockReport",
    "InputStatistics",
    "Keeper",
    "Method",
    "Observer",
    "Pattern",
    "PruneReport",
    "Refit",
    "RoundReport",
    "Rounded",
    "Solver",
    "StatisticsByTarget",
    "check_widths",
    "compensates",
    "drop_counts",
    "find_method",
    "is_solver",
    "lowest_by_group",
    "lowest_by_row",
    "lowest_overall",
    "masked_least_squares",
    "propagation_options",
    "prune",
    "round_model",
    "round_weight",
    "row_counts",
    "row_order",
    "sparse_least_squares",
]
