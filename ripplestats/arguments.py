"""The command line of ``ripplestats.run``: flags and help."""

from collections.abc import Sequence
from typing import Any

from ripplestats.config import RunConfig
from ripplestats.rendering.command_line import OneLineParser

_DESCRIPTION = """\
How few MLP neurons carry a language model's prediction?

For every prompt and every block, a share of the block's MLP neurons is overwritten at the last token (by the block's
median, say) and the change in the prediction of the token that really follows is recorded: for 31 shares from 0.2 to
90 percent, in one forward pass. Then thresholds, plateaus and core fractions are estimated with confidence intervals
over documents, and tables, figures and a summary are written to a run directory.
"""
_EXAMPLES = """\
examples:
  python -m ripplestats.run --dataset wikitext
      64 prompts of WikiText-103 on SmolLM2-135M, a few minutes on a laptop; without a network, on embedded text
  python -m ripplestats.run --dataset wikitext --model gpt2-large --prompts 500 --device cuda
      the model of the research note, on a GPU
  python -m ripplestats.run --dataset my_texts.jsonl --arms top random keep_top --replacement median zero
      your own texts (column "text"), more controls
  python -m ripplestats.run --dataset wikitext --model gpt2-large --prompts 100000 --cluster ray://head:10001
      the same on all GPUs of a Ray cluster; workers may die, and the same command goes on
  python -m ripplestats.run --dataset wikitext --prompts 100000 --out s3://my-bucket/runs/wikitext
      into an object store, shard by shard; on another machine the same command goes on
  python -m ripplestats.run --fit-only --out runs/wikitext-smollm2-135m --bootstrap 10000
      the estimates again, from the files of a run; needs no torch

exit codes: 0 done; 2 the command line or an input is wrong; 3 something outside failed, and what was finished is
kept; 130 interrupted (the same command takes the run up again).
"""


def parse_arguments(argv: Sequence[str] | None = None) -> RunConfig:
    """Read a command line.

    Raises:
        InputError: a flag is unknown or its value is not allowed.
    """
    default = RunConfig()
    parser = OneLineParser("python -m ripplestats.run", _DESCRIPTION, _EXAMPLES)
    what = parser.add_argument_group("what is swept")
    what.add_argument(
        "--dataset",
        default=default.dataset,
        metavar="NAME",
        help="wikitext, wikitext-2, passages, cloze, a hub name as owner/name[:config[:split]], or a "
        ".txt, .raw, .jsonl, .csv, .parquet file or a folder of them (default %(default)s)",
    )
    what.add_argument(
        "--model",
        default=default.model,
        metavar="NAME",
        help="smollm2-135m (embedded), any causal model of the hub, or a local folder with safetensors "
        "weights (default %(default)s)",
    )
    what.add_argument(
        "--prompts", type=int, default=default.prompts, metavar="N", help="how many (default %(default)s)"
    )
    what.add_argument(
        "--context",
        type=int,
        default=default.context,
        metavar="N",
        help="tokens before the target (default %(default)s)",
    )
    what.add_argument(
        "--per-document",
        type=int,
        default=default.per_document,
        metavar="N",
        help="at most so many prompts of one document (default %(default)s)",
    )
    what.add_argument(
        "--until-width",
        type=float,
        metavar="W",
        help="stop as soon as the interval of the threshold is at most W percentage points wide; --prompts is then the "
        "most that are run",
    )
    what.add_argument("--text-column", metavar="NAME", help="the column of text, where it is not called text")
    what.add_argument("--revision", metavar="REV", help="commit, tag or branch of a hub model")
    how = parser.add_argument_group("what is done to each prompt")
    how.add_argument(
        "--rates",
        default=default.rates,
        metavar="GRID",
        help="seed, fine, coarse, a comma list in percent, or staged: 20 rates, 9 of them put where the curve bends by a "
        "pilot on 16 further documents (default %(default)s)",
    )
    how.add_argument(
        "--arms",
        nargs="+",
        default=default.arms,
        metavar="ARM",
        help="which neurons: top (largest), bottom, magnitude (furthest from the median), random, "
        "keep_top (all but the largest) (default: top random)",
    )
    how.add_argument(
        "--replacement",
        nargs="+",
        default=default.replacement,
        metavar="VALUE",
        help="overwritten by: median, mean, zero, resample (another prompt's value) (default: median)",
    )
    how.add_argument(
        "--site",
        nargs="+",
        default=default.site,
        metavar="SITE",
        help="pre (before the nonlinearity) or post (input of the down-projection) (default: pre)",
    )
    how.add_argument("--layers", default=default.layers, metavar="LIST", help="all, or such as 0,4,10-12")
    how.add_argument(
        "--metrics",
        nargs="+",
        default=default.metrics,
        metavar="METRIC",
        help="what is recorded: logit, logprob, kl, top1 (default: all); logit alone leaves out the vocabulary",
    )
    how.add_argument(
        "--neuron-modules",
        metavar="NAMES",
        help="for a family that is not known: blocks=model.layers,pre=mlp.gate_proj,post=mlp.down_proj,norm=model.norm",
    )
    machine = parser.add_argument_group("how it is computed")
    machine.add_argument("--device", default=default.device, help="auto, cpu, cuda, cuda:N, mps (default %(default)s)")
    machine.add_argument(
        "--device-map",
        metavar="MAP",
        help="for a model too large for one device: auto spreads its blocks over GPUs, main memory and disk; balanced, "
        "balanced_low_0, sequential; or JSON of modules and devices",
    )
    machine.add_argument(
        "--dtype", default=default.dtype, help="float32, float64, bfloat16, float16 (default %(default)s)"
    )
    machine.add_argument(
        "--tf32", action="store_true", help="float32 weights, but matrix products in TF32 (NVIDIA GPUs only)"
    )
    machine.add_argument(
        "--audit-dtype",
        default=default.audit_dtype,
        metavar="DTYPE",
        help="run a sample of prompts again in float32 or float64 and say how far the sweep's precision is from it; none "
        "(default: float32 with bfloat16, float16 and --tf32, else none)",
    )
    machine.add_argument(
        "--engine",
        default=default.engine,
        help="auto: one pass if it agrees with the hooked forward, else hooks; onepass; hooks",
    )
    machine.add_argument(
        "--batch-size",
        type=int,
        default=default.batch_size,
        metavar="N",
        help="prompts run together; changes the speed only (default 8, on a GPU what its free memory holds); halved "
        "where memory does not suffice",
    )
    machine.add_argument(
        "--seed",
        type=int,
        default=default.seed,
        metavar="N",
        help="of the sample, the random arm and the bootstrap (default %(default)s)",
    )
    machine.add_argument(
        "--bootstrap",
        type=int,
        default=default.bootstrap,
        metavar="N",
        help="samples of documents for the intervals (default %(default)s)",
    )
    machine.add_argument(
        "--no-fallback",
        dest="fallback",
        action="store_false",
        help="stop with exit code 3 where the hub cannot be reached, in place of the embedded defaults",
    )
    cluster = parser.add_argument_group(
        "on many machines (extra ray; shards of prompts go to workers, each with the model; only this process writes)"
    )
    cluster.add_argument(
        "--cluster",
        metavar="ray[://HOST:PORT]",
        help="ray: Ray on this machine, or where RAY_ADDRESS says; ray://HOST:PORT: a cluster that runs, by its own port "
        "(from one of its machines) or that of Ray Client (from anywhere); ray://auto: the one that runs here",
    )
    cluster.add_argument("--workers", type=int, metavar="N", help="how many (default: as many as there is room for)")
    cluster.add_argument(
        "--worker-cpus", type=int, metavar="N", help="processors of each (default 1 beside a GPU, otherwise up to 4)"
    )
    cluster.add_argument(
        "--worker-gpus",
        type=int,
        default=default.worker_gpus,
        metavar="N",
        help="GPUs of each, where the cluster has any and --device is not cpu (default %(default)s)",
    )
    result = parser.add_argument_group("where results go")
    result.add_argument(
        "--out",
        metavar="FOLDER",
        help="the run directory, or its address in an object store: s3://BUCKET/…, gs://BUCKET/… (extra remote), "
        "hf://buckets/OWNER/NAME/… (default runs/DATASET-MODEL)",
    )
    result.add_argument("--fit-only", action="store_true", help="only estimate, from the files of an existing run")
    result.add_argument(
        "--push-to-hub",
        metavar="OWNER/NAME",
        help="push effects, prompts, estimates and a data card to the hub as a dataset at the end (a new one is public); "
        "needs a token that may write",
    )
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(argv)).items()
    }
    return RunConfig(**given)
