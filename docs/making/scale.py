"""What a run at internet scale takes: plain arithmetic from inputs that are all stated, and from measured rates.

    python -m docs.making.scale

prints the tables of the page. Change ``INPUTS`` to plan another run.
"""

import json
from dataclasses import dataclass
from typing import Any

from docs.making.blocks import ROOT
from docs.making.markdown import markdown
from docs.making.speed import share_of_peak

MEASURED = ROOT / "benchmarks" / "results" / "out_of_core.json"


@dataclass(frozen=True)
class Inputs:
    """The run, the model, and what machines do; each a number that a reader can dispute."""

    tokens: float = 1e9  # of prompts: contexts and targets
    context: int = 32
    per_document: int = 1
    blocks: int = 80  # a Llama of 70 B parameters
    hidden: int = 8192
    neurons: int = 28672
    key_value_width: int = 1024
    vocabulary: int = 128256
    rates: int = 31
    arms: int = 2
    peak_flops: float = 989e12  # of one H100 in bfloat16, dense, by its data sheet
    share_of_peak: float = 0.1  # assumed: 40 % of the one of four GPUs that computes at a time
    gpus_per_copy: int = 4  # 140 GB of weights, and room for branches
    price_per_gpu_hour: float = 2.5  # dollars
    shard_prompts: int = 256
    bytes_per_token_of_text: float = 4.5
    machines: int = 16  # copies of the model at work


INPUTS = Inputs()


@dataclass(frozen=True)
class Scale:
    """What follows from the inputs."""

    inputs: Inputs = INPUTS

    @property
    def prompts(self) -> float:
        """Prompts, of a context and a target each."""
        return self.inputs.tokens / (self.inputs.context + 1)

    @property
    def branches(self) -> int:
        """Interventions in each block."""
        return self.inputs.rates * self.inputs.arms

    @property
    def cells(self) -> int:
        """Rows of the effects of one prompt."""
        return self.branches * self.inputs.blocks

    @property
    def block_parameters(self) -> float:
        """Weights of one block: attention with grouped queries, and a gated MLP."""
        one = self.inputs
        return 2 * one.hidden**2 + 2 * one.hidden * one.key_value_width + 3 * one.hidden * one.neurons

    @property
    def one_pass_flops(self) -> float:
        """Operations of one prompt: its tokens, its branches (each from its own block on), and all its predictions."""
        one = self.inputs
        evaluations = self.branches * one.blocks * (one.blocks + 1) / 2 + one.blocks * one.context
        return 2 * (evaluations * self.block_parameters + (self.cells + 1) * one.hidden * one.vocabulary)

    @property
    def hooked_flops(self) -> float:
        """The same by one forward pass an intervention."""
        one = self.inputs
        passes = self.cells + 1
        return 2 * passes * (one.context * one.blocks * self.block_parameters + one.hidden * one.vocabulary)

    @property
    def gpu_hours(self) -> float:
        """Hours of one GPU for all prompts."""
        one = self.inputs
        return self.prompts * self.one_pass_flops / (one.peak_flops * one.share_of_peak) / 3600

    @property
    def days(self) -> float:
        """Days with all machines at work."""
        return self.gpu_hours / (self.inputs.machines * self.inputs.gpus_per_copy) / 24

    @property
    def rows(self) -> float:
        """Rows of all effects."""
        return self.prompts * self.cells

    @property
    def stored(self) -> float:
        """Bytes of all effects, at the bytes a row that were measured."""
        found = _measured()
        return self.rows * found["gb"] * 1e9 / found["rows"]

    @property
    def shards(self) -> float:
        """Shards, each of three files."""
        return self.prompts / self.inputs.shard_prompts

    @property
    def seconds_per_shard(self) -> float:
        """What one copy of the model takes for a shard."""
        one = self.inputs
        return one.shard_prompts * self.one_pass_flops / (one.peak_flops * one.share_of_peak * one.gpus_per_copy)

    @property
    def statistics_hours(self) -> float:
        """Processor hours that reduce all effects to statistics, at the rate that was measured."""
        found = _measured()
        return self.rows * found["steps"]["statistics"]["processor_seconds"] / found["rows"] / 3600


def _measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def scale_table(name: str) -> str:
    """Return one of the page's tables: ``inputs``, ``results`` or ``measured``."""
    return {"inputs": _inputs, "results": _results, "measured": _measured_rates}[name]()


def _inputs() -> str:
    one = INPUTS
    rows = [
        ["tokens of prompts", f"{one.tokens:.0e}", "given"],
        ["tokens of a context, and its target", f"{one.context} + 1", "default of the command line"],
        ["rates × arms", f"{one.rates} × {one.arms}", "default of the command line"],
        ["blocks, width, neurons, vocabulary", f"{one.blocks}, {one.hidden:,}, {one.neurons:,}, {one.vocabulary:,}",
         "a Llama of 70 billion parameters"],
        ["peak of one GPU", f"{one.peak_flops / 1e12:.0f} TFLOP/s", "H100, bfloat16, dense, data sheet"],
        ["share of the peak that is reached", f"{one.share_of_peak:.0%}", "assumed"],
        ["GPUs that hold one copy", f"{one.gpus_per_copy}", "140 GB of bfloat16 weights, and room for branches"],
        ["copies at work", f"{one.machines}", "chosen"],
        ["price of a GPU hour", f"${one.price_per_gpu_hour:g}", "assumed"],
    ]  # fmt: skip
    return markdown(rows, ["input", "value", "where it is from"], numbers_from=3)


def _measured_rates() -> str:
    found = _measured()
    rows = [
        ["bytes of a row of effects", f"{found['gb'] * 1e9 / found['rows']:.1f}"],
        ["processor time to reduce a million rows to statistics",
         f"{1e6 * found['steps']['statistics']['processor_seconds'] / found['rows']:.2f} s"],
        ["memory to reduce and fit a hundred million rows", f"{found['largest peak_gb']:.2f} GB"],
        ["time of the reduction beside DuckDB's plain scan of the same files",
         f"{found['statistics / scan, processor_seconds']:.1f} times"],
    ]  # fmt: skip
    reached = [
        "share of the matrix peak that a sweep of the embedded model reaches, float32",
        f"{share_of_peak(32):.0%}",
    ]
    return markdown([reached, *rows], ["measured", "value"])


def _results() -> str:
    one, found = INPUTS, Scale()
    rows = [
        ["prompts", f"{found.prompts:,.0f}"],
        ["interventions a prompt", f"{found.cells:,}"],
        ["operations a prompt, one pass", f"{found.one_pass_flops:.2g}"],
        ["the same by one forward pass an intervention", f"{found.hooked_flops / found.one_pass_flops:.0f} times as many"],
        ["GPU hours", f"{found.gpu_hours:,.0f}"],
        ["cost", f"${found.gpu_hours * one.price_per_gpu_hour:,.0f}"],
        [f"days on {one.machines * one.gpus_per_copy} GPUs", f"{found.days:.1f}"],
        ["rows of effects", f"{found.rows:.2g}"],
        ["storage of the effects", f"{found.stored / 1e12:.2f} TB"],
        ["shards of 256 prompts", f"{found.shards:,.0f}, {found.stored / found.shards / 1e6:.0f} MB each"],
        ["a shard every", f"{found.seconds_per_shard / one.machines:.1f} s ({found.seconds_per_shard:.0f} s on one copy)"],
        ["bandwidth to the storage", f"{found.stored / (found.days * 86400) / 1e6:.1f} MB/s"],
        ["text to read", f"{one.tokens * one.bytes_per_token_of_text / 1e9:.1f} GB"],
        ["weights to load, all copies", f"{0.14 * one.machines:.1f} TB"],
        ["reducing the effects to statistics", f"{found.statistics_hours:,.0f} processor hours"],
    ]  # fmt: skip
    return markdown(rows, ["what follows", "value"])


if __name__ == "__main__":
    import sys

    sys.stdout.write("\n\n".join(map(scale_table, ("inputs", "measured", "results"))) + "\n")
