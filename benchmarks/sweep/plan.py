"""What is timed: models × contexts, and for each the sample of cells that slow engines get."""

from dataclasses import dataclass

from benchmarks.sweep.job import Case, spread
from benchmarks.sweep.models import BenchmarkModel, cut_prompts
from ripplestats.intervention.branches import dose
from ripplestats.sweeps.grid import parse_rates

RATES = "seed"
#: Tokens that an engine which runs a block's rates together gets at once, about: more do not make it faster.
_TOKENS_TOGETHER = 2048


@dataclass(frozen=True)
class Plan:
    """How long, and on how much, everything is timed.

    ``starts`` and ``sweeps`` are how often a start, and a sweep between matrix products, are measured.
    """

    contexts: tuple[int, ...]
    layers: int
    prompts: int
    seconds: float
    batches: int
    starts: int
    sweeps: int


FULL = Plan(contexts=(8, 32, 128, 512), layers=3, prompts=8, seconds=6.0, batches=16, starts=7, sweeps=24)
#: For a model of which one cell takes seconds.
SAMPLE = Plan(contexts=(8, 32, 128, 512), layers=2, prompts=4, seconds=0.0, batches=4, starts=1, sweeps=1)
QUICK = Plan(contexts=(8, 32), layers=2, prompts=2, seconds=0.5, batches=2, starts=1, sweeps=1)


def block_doses(n_neurons: int, rates: str = RATES) -> tuple[int, ...]:
    """Return the different numbers of neurons that a block's rates mean."""
    return tuple(sorted({dose(rate, n_neurons) for rate in parse_rates(rates)}))


def make_cases(plan: Plan, model: BenchmarkModel, n_neurons: int, stream: tuple[int, ...]) -> tuple[Case, ...]:
    """Return one case a context. Blocks and rates of a sample are evenly spread, ends included."""
    layers = tuple(range(model.config.num_hidden_layers))
    doses = block_doses(n_neurons)
    cases = []
    for context in plan.contexts:
        together = spread(doses, max(4, _TOKENS_TOGETHER // context))
        # One cell of a large model on a long context is dear, and all cells of an engine cost the same.
        alone = spread(together, 1 if context * model.config.hidden_size > 300_000 else 3)
        prompts, targets = cut_prompts(stream, plan.prompts, context)
        cases.append(Case(context, prompts, targets, spread(layers, plan.layers), alone, together, plan.seconds))
    return tuple(cases)
