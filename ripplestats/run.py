"""The command line: ``python -m ripplestats.run --dataset wikitext``."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

from ripplestats.arguments import parse_arguments
from ripplestats.config import RunConfig
from ripplestats.errors import RippleStatsError, RunError, is_out_of_memory
from ripplestats.rendering.command_line import say

if TYPE_CHECKING:
    from ripplestats.model.load import Model
    from ripplestats.prompts.table import PromptTable
    from ripplestats.store.run_directory import Run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    folder = None
    try:
        config = parse_arguments(argv)
        folder = config.folder
        _check_push(config)
        run = _open(config) if config.fit_only else _swept(config)
        _finish(run, config)
    except RippleStatsError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"\nripplestats: interrupted; finished parts are kept in {folder}, and the same command goes on",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say("out of memory; a shorter --context or fewer --arms need less, and finished parts are kept")
        return 3
    return 0


def _swept(config: RunConfig) -> "Run":
    """Load model and prompts and sweep; every option that can be checked is checked before anything is loaded."""
    from ripplestats.sweeps.grid import STAGED, make_grid, parse_metrics

    _quiet()
    parse_metrics(config.metrics)
    make_grid(10**4, 1, rates=config.rates, arms=config.arms, replacements=config.replacement, sites=config.site,
              layers=config.layers)  # fmt: skip
    if config.cluster is not None:
        from ripplestats.execution.cluster.connection import check_cluster

        check_cluster(config.cluster)
    from ripplestats.model.load import load_model
    from ripplestats.model.placement import check_device_map
    from ripplestats.model.sites import parse_site_names
    from ripplestats.pipeline import sweep
    from ripplestats.prompts.corpora import open_corpus
    from ripplestats.prompts.sampling import PILOT_DOCUMENTS, draw_prompts

    device_map = check_device_map(config.device_map, config.device)
    # First of all, whether the text can be had: a person should know within seconds that something else is used.
    corpus = open_corpus(config.dataset, fallback=config.fallback, text_column=config.text_column, say=say)
    origin = corpus.provenance
    _warn_of_fallback("--dataset", config.dataset, origin.used, origin.fallback)
    model = load_model(
        config.model, device=_own_device(config), device_map=device_map, dtype=config.dtype, revision=config.revision,
        fallback=config.fallback, say=say,
        sites=parse_site_names(config.neuron_modules) if config.neuron_modules else None,
    )  # fmt: skip
    _warn_of_fallback("--model", config.model, model.used, model.fallback)
    prompts = draw_prompts(
        corpus, config.prompts, config.context, tokenizer=model.tokenizer, seed=config.seed,
        per_document=config.per_document, pilot_documents=PILOT_DOCUMENTS if config.rates == STAGED else 0,
    )  # fmt: skip
    _introduce(model, prompts)
    return sweep(
        model, prompts, out=config.folder, rates=config.rates, arms=config.arms, replacement=config.replacement,
        site=config.site, layers=config.layers, metrics=config.metrics, tf32=config.tf32,
        audit_dtype=config.audit_dtype, engine=config.engine, batch_size=config.batch_size, seed=config.seed,
        until_width=None if config.until_width is None else config.until_width / 100,
        cluster=config.cluster, workers=config.workers, worker_cpus=config.worker_cpus, worker_gpus=config.worker_gpus,
        worker_device=config.device,
        options={name: value for name, value in asdict(config).items() if name not in ("out", "fit_only")},
        say=say,
    )  # fmt: skip


def _own_device(config: RunConfig) -> str:
    """Return where this process loads the model: with a cluster, it may lack the GPU that the workers have."""
    return "auto" if config.cluster is not None and config.device == "cuda" else config.device


def _introduce(model: "Model", prompts: "PromptTable") -> None:
    origin = prompts.provenance
    for note in origin.notes:
        say(f"note: {note}")
    say(
        f"{model.used}: {model.n_layers} blocks of {model.n_neurons} neurons, {model.dtype} on {model.placement}; "
        f"{origin.used}: {len(prompts)} prompts from {prompts.n_documents} documents"
    )


def _open(config: RunConfig) -> "Run":
    from ripplestats.store.run_directory import open_run

    run = open_run(config.folder)
    if not run.parts():
        raise RunError(f"--out {config.folder} holds no finished part of the effects yet")
    if not run.complete:
        _warn(f"{config.folder} is not complete; estimates are from the prompts that are done")
    return run


def _finish(run: "Run", config: RunConfig) -> None:
    from ripplestats.pipeline import analyse
    from ripplestats.rendering.command_line import for_terminal

    say("estimating")
    print(f"\n{for_terminal(analyse(run, n_boot=config.bootstrap, seed=config.seed))}")
    if config.push_to_hub:
        from ripplestats.store.export import push_to_hub

        say(f"pushed to {push_to_hub(run, config.push_to_hub, say=say)}")


def _check_push(config: RunConfig) -> None:
    """Refuse a push that cannot succeed before anything is computed."""
    if config.push_to_hub:
        from ripplestats.store.export import check_hub_access

        check_hub_access(config.push_to_hub)


def _warn_of_fallback(option: str, asked: str, used: str, why: str) -> None:
    if why:
        rule = "!" * 78
        _warn(f"{rule}\n{option} {asked} was NOT used: {why}.\nThe embedded {used!r} takes its place.\n{rule}")


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _quiet() -> None:
    """Keep the libraries' own bars and warnings off the terminal; what matters is said in our words."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def console() -> NoReturn:
    """Run the command line as a program, and leave without the interpreter's own clean-up.

    A streamed corpus is read ahead by threads of pyarrow; one that wakes while Python shuts down aborts the process.
    """
    code = main()
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    console()
