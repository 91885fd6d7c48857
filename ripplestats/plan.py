"""The command line ``python -m ripplestats.plan``: how many documents and prompts a study needs."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ripplestats.errors import InputError, RippleStatsError
from ripplestats.rendering.command_line import OneLineParser, say

if TYPE_CHECKING:
    from ripplestats.fits.planning.design import Plan
    from ripplestats.store.run_directory import Run

_DESCRIPTION = """\
How many documents and prompts does a study need?

Say what it should reach: an interval of a given half-width (--quantity, --half-width), or a power that one of the
research note's claims is called supported (--claim, --power). Say what is known: a pilot run (--pilot), from which
studies of other sizes are drawn and analysed as the real one will be; or, for means, standard deviations between
documents and between prompts of a document.

More documents always help; more prompts of the same documents help only until the documents' own spread is left.
"""
_EXAMPLES = """\
examples:
  python -m ripplestats.plan --pilot runs/wikitext-smollm2-135m --quantity threshold --half-width 0.5
      documents for an interval of the threshold rate of plus or minus 0.5 percentage points
  python -m ripplestats.plan --pilot runs/wikitext-smollm2-135m --quantity core_fraction --share 0.8 --half-width 1
      the same for the rate at which 80 % of the plateau is reached, plus or minus 1 point
  python -m ripplestats.plan --pilot runs/wikitext-smollm2-135m --claim 3 --power 0.9
      documents that support the claim of a core group (half of the plateau below 2 % of neurons) with 90 % power
  python -m ripplestats.plan --pilot runs/two-prompts-a-document --claim 5 --prompts-per-document 1 2 4
      a pilot with several prompts of a document tells whether more of them are worth it
  python -m ripplestats.plan --sd-document 0.12 --sd-prompt 0.2 --quantity plateau --half-width 0.02
      without a pilot, from stated standard deviations in nats
  python -m ripplestats.plan --sd-document 0.12 --sd-prompt 0.2 --effect 0.05 --claim 5
      the power of a claim on a mean, at a stated true effect

units: percentage points of neurons for threshold and core_fraction, nats for plateau, --sd-document, --sd-prompt and
--effect; logits for the plateau and the limits of claims where the pilot recorded no log-probability (--metrics logit).

exit codes: 0 done; 2 the command line or an input is wrong; 3 something outside failed; 130 interrupted.
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read a command line.

    Raises:
        InputError: a flag is unknown, its value is not allowed, or flags do not go together.
    """
    parser = OneLineParser("python -m ripplestats.plan", _DESCRIPTION, _EXAMPLES)
    goal = parser.add_argument_group("what the study should reach")
    add = goal.add_argument
    add("--quantity", choices=("threshold", "plateau", "core_fraction"), help="what the interval is of")
    add("--half-width", type=float, metavar="H", help="of the interval: percentage points, or nats for the plateau")
    add("--claim", choices=("1", "2", "3", "4", "5"),
        help="1 insensitivity, 2 threshold, 3 core group, 4 first block, 5 specificity")  # fmt: skip
    add("--power", type=float, default=0.8, metavar="P", help="of the claim's test (default %(default)s)")
    add("--share", type=float, default=0.5, metavar="Q",
        help="of the plateau, for core_fraction and claim 3, there 0.5, 0.8 or 0.9 (default %(default)s)")  # fmt: skip
    add("--conf-level", type=float, default=0.95, metavar="C", help="of the interval (default %(default)s)")
    known = parser.add_argument_group("what is known")
    add = known.add_argument
    add("--pilot", metavar="FOLDER", help="the run directory of a pilot")
    add("--sd-document", type=float, metavar="S", help="standard deviation between documents, nats")
    add("--sd-prompt", type=float, default=0.0, metavar="S",
        help="standard deviation between prompts of a document, nats (default %(default)s)")  # fmt: skip
    add("--effect", type=float, default=None, metavar="E", help="true effect of the claim, nats (with --sd-document)")
    how = parser.add_argument_group("how it is planned")
    add = how.add_argument
    add("--prompts-per-document", type=int, nargs="+", default=[], metavar="M",
        help="default 1, or 1 2 4 8 where prompts and documents can be told apart")  # fmt: skip
    add("--documents", type=int, default=None, metavar="N", help="most documents to look at")
    add("--seed", type=int, default=0, metavar="N", help="of the simulation (default %(default)s)")
    options = parser.parse_args(argv)
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    """Refuse flags that do not go together, before anything is read."""
    if (options.pilot is None) == (options.sd_document is None):
        raise InputError("give either --pilot FOLDER or --sd-document S, one of them")
    if (options.quantity is None) == (options.claim is None):
        raise InputError("give either --quantity (with --half-width) or --claim (with --power), one of them")
    if (options.quantity is None) != (options.half_width is None):
        raise InputError("--quantity and --half-width go together")
    if options.pilot is not None and options.effect is not None:
        raise InputError("--effect goes with --sd-document; a pilot has its own effect")
    if options.pilot is None and (options.quantity or options.claim) not in ("plateau", "1", "4", "5"):
        raise InputError(
            "thresholds and core fractions need --pilot; standard deviations plan plateau and claims 1, 4, 5"
        )
    if options.pilot is None and options.claim in ("4", "5") and options.effect is None:
        raise InputError(f"--claim {options.claim} with --sd-document needs --effect, the true difference in nats")
    if options.pilot is None and (
        min(options.sd_document, options.sd_prompt) < 0 or not options.sd_document + options.sd_prompt > 0
    ):
        raise InputError("--sd-document and --sd-prompt are not negative, and not both zero")
    if options.claim == "3" and options.share not in (0.5, 0.8, 0.9):
        raise InputError(f"--share {options.share:g} is not allowed with --claim 3; allowed: 0.5, 0.8, 0.9")
    if not 0 < options.conf_level < 1 or not 0.05 < options.power < 1 or not 0 < options.share < 1:
        raise InputError("--conf-level and --share lie between 0 and 1, --power between 0.05 and 1")
    if options.half_width is not None and not options.half_width > 0:
        raise InputError(f"--half-width {options.half_width:g} must be positive")
    if any(m < 1 for m in options.prompts_per_document):
        raise InputError("--prompts-per-document must be at least 1")
    if options.seed < 0 or (options.documents is not None and options.documents < 8):
        raise InputError("--seed must not be negative, and --documents at least 8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        options = parse_arguments(argv)
        found = _from_pilot(options) if options.pilot is not None else _from_deviations(options)
        print(found.summary())
    except RippleStatsError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("\nripplestats: interrupted", file=sys.stderr)
        return 130
    return 0


def _from_pilot(options: argparse.Namespace) -> "Plan":
    from ripplestats.fits.planning.design import MOST_DOCUMENTS, plan_interval
    from ripplestats.fits.run_estimates import UNITS, main_metric
    from ripplestats.hypotheses.power import COLUMNS, cell_rows, plan_claim
    from ripplestats.store.run_directory import open_run

    run = open_run(options.pilot)
    metric, seconds = main_metric(run.metrics), _seconds_per_prompt(run)
    effects = run.effects([*COLUMNS, metric])
    note = "; claims 2 and 3 are simulated, which takes a minute" if options.claim in ("2", "3") else ""
    print(f"ripplestats: planning from {run.path}, effects in {UNITS[metric]}{note}", file=sys.stderr, flush=True)
    if options.claim is not None:
        return plan_claim(
            effects, _claim_name(options), power=options.power, per_document=options.prompts_per_document,
            seed=options.seed, most=options.documents, seconds_per_prompt=seconds,
        )  # fmt: skip
    # Rates are shares in the files and percentages on the command line.
    unit = 1.0 if options.quantity == "plateau" else 0.01
    return plan_interval(
        cell_rows(effects, "top", "median"), y=metric, x="effective_rate", cluster="document_id",
        half_width=unit * options.half_width, quantity=options.quantity, share=options.share,
        per_document=options.prompts_per_document, conf_level=options.conf_level, seed=options.seed,
        most=options.documents or MOST_DOCUMENTS, seconds_per_prompt=seconds, percent=True,
    )  # fmt: skip


def _from_deviations(options: argparse.Namespace) -> "Plan":
    from ripplestats.fits.planning.design import MOST_DOCUMENTS, plan_mean
    from ripplestats.fits.planning.variance_components import VarianceComponents
    from ripplestats.hypotheses.power import plan_mean_claim

    components = VarianceComponents(options.effect or 0.0, options.sd_document, options.sd_prompt)
    prompts = options.prompts_per_document or ((1, 2, 4, 8) if options.sd_prompt > 0 else (1,))
    most = options.documents or MOST_DOCUMENTS
    if options.claim is not None:
        return plan_mean_claim(_claim_name(options), components, power=options.power, per_document=prompts, most=most)
    return plan_mean(
        components, half_width=options.half_width, per_document=prompts, conf_level=options.conf_level, most=most
    )


def _claim_name(options: argparse.Namespace) -> str:
    from ripplestats.hypotheses.claims import FIRST_BLOCK, INSENSITIVITY, SPECIFICITY, THRESHOLD, core_claim

    names = {"1": INSENSITIVITY, "2": THRESHOLD, "3": core_claim(options.share), "4": FIRST_BLOCK, "5": SPECIFICITY}
    return names[options.claim]


def _seconds_per_prompt(run: "Run") -> float:
    """Return what a prompt of the pilot took, all its arms and layers; NaN where its manifest does not say."""
    manifest = run.manifest
    seconds, prompts = manifest.get("timings", {}).get("sweep_s"), manifest.get("completeness", {}).get("prompts_done")
    return float(seconds) / prompts if seconds and prompts else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
