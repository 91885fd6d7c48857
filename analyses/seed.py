"""The research note's own experiment on any model: its sentence, its rates, its figure.

    python analyses/seed.py --model gpt2-large

One sentence, "It was a dark and stormy" → " night"; in each block the p % largest pre-activations at the last token
are overwritten with the block's lower median. There is no inference in it: it is one prompt. Writes a run directory
with ``seed.pdf``, ``seed.png`` and ``seed.csv`` (log-probability of the target, clean − replaced, a row a block and a
column a rate).
"""

import argparse
import sys
from pathlib import Path

import ripplestats as rs
from ripplestats.fits.run_estimates import layer_curves
from ripplestats.rendering.figure_files import figure_file
from ripplestats.rendering.provenance import provenance
from ripplestats.report.figures import draw_seed_dots, mean_effects

SENTENCE = ("It was a dark and stormy", " night")
FINE = [0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
COARSE = [10, 20, 30, 40, 50, 60, 70, 80, 90]


def main() -> int:
    """Run the experiment and say where its results are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="as in ripplestats.run (default %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--out", type=Path, help="the run directory (default runs/seed-MODEL)")
    options = parser.parse_args()
    try:
        model = rs.load_model(options.model, device=options.device, say=print)
        prompts = rs.make_prompts([SENTENCE], tokenizer=model.tokenizer)
        out = options.out or Path("runs") / f"seed-{Path(model.used).name}"
        rates = ",".join(map(str, [*FINE, *COARSE]))
        run = rs.sweep(model, prompts, rates=rates, arms=("top",), out=out, say=print)
    except rs.RippleStatsError as error:
        print(f"seed: {error}", file=sys.stderr)
        return error.exit_code
    effects = run.effects()
    table = effects.assign(percent=100 * effects["rate"]).pivot_table("delta_logprob", "layer", "percent")
    table.to_csv(out / "seed.csv", float_format="%.6g")
    with figure_file(
        out / "seed", f"{provenance(run.manifest)}; “{SENTENCE[0]}” → “{SENTENCE[1]}”", (7.0, 2.8)
    ) as page:
        draw_seed_dots(page, mean_effects(layer_curves(effects, "delta_logprob")), len(prompts))
    clean = run.prompts().iloc[0]
    print(f"clean log-probability of {clean['target']!r}: {clean['clean_logprob']:.3f} (rank {clean['clean_rank']})")
    print(table.round(3).to_string())
    print(f"in {out}: seed.pdf, seed.png, seed.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
