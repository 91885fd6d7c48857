"""How few MLP neurons carry a language model's prediction? Sweeps over prompts, and inference on them.

    import ripplestats as rs

    model = rs.load_model("smollm2-135m")
    prompts = rs.load_prompts("wikitext", n=64, context=32, tokenizer=model.tokenizer, seed=0)
    run = rs.sweep(model, prompts, rates="seed", arms=("top", "random"), out="runs/demo")
    frame = run.effects()
    rs.segmented(frame, y="delta_logprob", x="effective_rate", cluster="document_id", by="layer").tidy()

Names are imported when first used: the statistics never load torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripplestats.errors import RippleStatsError
    from ripplestats.fits.core import core_fraction
    from ripplestats.fits.mixed import mixed
    from ripplestats.fits.moderators import moderators
    from ripplestats.fits.planning.design import plan_interval
    from ripplestats.fits.result import FitResult
    from ripplestats.fits.run_estimates import estimate_run
    from ripplestats.fits.segmented import segmented
    from ripplestats.fits.segmented_mixed import segmented_mixed
    from ripplestats.fits.specifications import specification_curve
    from ripplestats.hypotheses.breaks import break_test
    from ripplestats.hypotheses.davies import davies_test
    from ripplestats.hypotheses.equivalence import equivalence
    from ripplestats.hypotheses.power import plan_claim
    from ripplestats.hypotheses.run_claims import claims
    from ripplestats.model.load import Model, load_model
    from ripplestats.model.sites import SiteNames
    from ripplestats.pipeline import analyse, sweep
    from ripplestats.prompts.sampling import load_prompts, make_prompts
    from ripplestats.prompts.table import PromptTable
    from ripplestats.store.merge import merge
    from ripplestats.store.run_directory import Run, open_run

__version__ = version("ripplestats")

_HOMES = {
    "FitResult": "ripplestats.fits.result",
    "Model": "ripplestats.model.load",
    "PromptTable": "ripplestats.prompts.table",
    "RippleStatsError": "ripplestats.errors",
    "Run": "ripplestats.store.run_directory",
    "SiteNames": "ripplestats.model.sites",
    "analyse": "ripplestats.pipeline",
    "break_test": "ripplestats.hypotheses.breaks",
    "claims": "ripplestats.hypotheses.run_claims",
    "core_fraction": "ripplestats.fits.core",
    "davies_test": "ripplestats.hypotheses.davies",
    "equivalence": "ripplestats.hypotheses.equivalence",
    "estimate_run": "ripplestats.fits.run_estimates",
    "load_model": "ripplestats.model.load",
    "load_prompts": "ripplestats.prompts.sampling",
    "make_prompts": "ripplestats.prompts.sampling",
    "merge": "ripplestats.store.merge",
    "mixed": "ripplestats.fits.mixed",
    "moderators": "ripplestats.fits.moderators",
    "open_run": "ripplestats.store.run_directory",
    "plan_claim": "ripplestats.hypotheses.power",
    "plan_interval": "ripplestats.fits.planning.design",
    "segmented": "ripplestats.fits.segmented",
    "segmented_mixed": "ripplestats.fits.segmented_mixed",
    "specification_curve": "ripplestats.fits.specifications",
    "sweep": "ripplestats.pipeline",
}

__all__ = [
    "FitResult",
    "Model",
    "PromptTable",
    "RippleStatsError",
    "Run",
    "SiteNames",
    "analyse",
    "break_test",
    "claims",
    "core_fraction",
    "davies_test",
    "equivalence",
    "estimate_run",
    "load_model",
    "load_prompts",
    "make_prompts",
    "merge",
    "mixed",
    "moderators",
    "open_run",
    "plan_claim",
    "plan_interval",
    "segmented",
    "segmented_mixed",
    "specification_curve",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ripplestats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
