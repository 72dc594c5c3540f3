"""Measure a model: profile, perplexity, speed, and the protocol behind every table."""

from neurosparse.measure import protocol
from neurosparse.measure.accuracy import Accuracy, accuracy, paired_counts
from neurosparse.measure.bandwidth import ReadProbe, mode_edge, mode_of
from neurosparse.measure.bytes_moved import decode_bytes
from neurosparse.measure.choice import choice_accuracy
from neurosparse.measure.choice_items import ChoiceItem, choice_items, write_lm_eval_task
from neurosparse.measure.collect_absorption import AbsorptionCollector
from neurosparse.measure.collect_curves import CurvesCollector
from neurosparse.measure.collect_exponents import ExponentsCollector
from neurosparse.measure.collect_fisher import FisherCollector
from neurosparse.measure.collect_gains import GainsCollector
from neurosparse.measure.collect_lsa import LsaCollector
from neurosparse.measure.collect_progression import ProgressionCollector
from neurosparse.measure.collect_propagation import PropagationCollector
from neurosparse.measure.collect_representation import RepresentationCollector
from neurosparse.measure.collect_scores import (
    DlpCollector,
    OwlCollector,
    ScoresCollector,
    ShapesCollector,
)
from neurosparse.measure.collect_second_order import SecondOrderCollector
from neurosparse.measure.collect_single import SingleCollector
from neurosparse.measure.collect_spectra import SpectraCollector
from neurosparse.measure.collectors import known_evidence
from neurosparse.measure.compare_generation import (
    GenerationComparison,
    compare_generation,
    using_threads,
)
from neurosparse.measure.curves import local_error
from neurosparse.measure.damage import Damage, damage
from neurosparse.measure.decode_parts import decode_parts
from neurosparse.measure.dense_twin import dense_twin
from neurosparse.measure.depth import DepthErrors
from neurosparse.measure.evidence import Collector, Cost
from neurosparse.measure.joined_points import JoinedPoints, joined_points
from neurosparse.measure.operations import Operations, counted
from neurosparse.measure.perplexity import Perplexity, paired_difference, perplexity
from neurosparse.measure.profile import profile, profile_cost, sizes_only
from neurosparse.measure.ranks import Ranks, row_ranks
from neurosparse.measure.replay import Replay
from neurosparse.measure.structure_rule import structure_rates
from neurosparse.measure.timing import (
    GenerationSpeed,
    generation_speed,
    loop_speed,
    prefill_speed,
    python_share,
)
from neurosparse.measure.turns import Spread, Summary, Turn, summarise
from neurosparse.measure.video_answers import VideoAsked, Watching, calibration_prompts

__all__ = [
    "AbsorptionCollector",
    "Accuracy",
    "ChoiceItem",
    "Collector",
    "Cost",
    "CurvesCollector",
    "Damage",
    "DepthErrors",
    "DlpCollector",
    "ExponentsCollector",
    "FisherCollector",
    "GainsCollector",
    "GenerationComparison",
    "GenerationSpeed",
    "JoinedPoints",
    "LsaCollector",
    "Operations",
    "OwlCollector",
    "Perplexity",
    "ProgressionCollector",
    "PropagationCollector",
    "Ranks",
    "ReadProbe",
    "Replay",
    "RepresentationCollector",
    "ScoresCollector",
    "SecondOrderCollector",
    "ShapesCollector",
    "SingleCollector",
    "SpectraCollector",
    "Spread",
    "Summary",
    "Turn",
    "VideoAsked",
    "Watching",
    "accuracy",
    "calibration_prompts",
    "choice_accuracy",
    "choice_items",
    "compare_generation",
    "counted",
    "damage",
    "decode_bytes",
    "decode_parts",
    "dense_twin",
    "generation_speed",
    "joined_points",
    "known_evidence",
    "local_error",
    "loop_speed",
    "mode_edge",
    "mode_of",
    "paired_counts",
    "paired_difference",
    "perplexity",
    "prefill_speed",
    "profile",
    "profile_cost",
    "protocol",
    "python_share",
    "row_ranks",
    "sizes_only",
    "structure_rates",
    "summarise",
    "using_threads",
    "write_lm_eval_task",
]
