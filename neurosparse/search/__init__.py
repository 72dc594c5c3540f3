"""Find the budget of least damage by evaluating few. Takes two callables; never imports torch."""

from neurosparse.search.archive import Archive, read_archive
from neurosparse.search.completion import ServerCompletion
from neurosparse.search.ladder import Ladder
from neurosparse.search.lines import Asked, Entry, Lines
from neurosparse.search.llm_record import LlmRecord
from neurosparse.search.patience import Patient
from neurosparse.search.prompts import Prompts, read_prompts
from neurosparse.search.proposers import (
    PROPOSERS,
    CmaProposer,
    EvolutionProposer,
    LineProposer,
    LlmProposer,
    Proposer,
    RandomProposer,
    TpeProposer,
    make_proposer,
)
from neurosparse.search.result import SearchResult, Trial
from neurosparse.search.run import search
from neurosparse.search.space import Space, Unit
from neurosparse.search.spaces import count_space, mean_space, profile_space, rate_space
from neurosparse.search.synthetic import Synthetic, regret, regrets

__all__ = [
    "PROPOSERS",
    "Archive",
    "Asked",
    "CmaProposer",
    "Entry",
    "EvolutionProposer",
    "Ladder",
    "LineProposer",
    "Lines",
    "LlmProposer",
    "LlmRecord",
    "Patient",
    "Prompts",
    "Proposer",
    "RandomProposer",
    "SearchResult",
    "ServerCompletion",
    "Space",
    "Synthetic",
    "TpeProposer",
    "Trial",
    "Unit",
    "count_space",
    "make_proposer",
    "mean_space",
    "profile_space",
    "rate_space",
    "read_archive",
    "read_prompts",
    "regret",
    "regrets",
    "search",
]
