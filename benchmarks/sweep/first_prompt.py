"""Seconds from the start of this process to the first prompt, by stage: what a user waits for.

python -m benchmarks.sweep.first_prompt FOLDER cpu
"""

import json
import sys
from time import perf_counter


def main() -> int:
    """Load package, model and prompts, check the engine, sweep one prompt; print the seconds as JSON."""
    began = perf_counter()
    import ripplestats as rs

    folder, device = sys.argv[1:3]
    model = rs.load_model(folder, device=device)
    stages = {"model_loaded": perf_counter() - began}
    prompts = rs.load_prompts("passages", n=8, context=32, tokenizer=model.tokenizer)

    from ripplestats.sweeps.grid import make_grid
    from ripplestats.sweeps.runner import Sweep

    sweep = Sweep(model, prompts, make_grid(model.n_layers, model.n_neurons))
    engine, _ = sweep.checked()
    stages["sweep_begins"] = perf_counter() - began
    sweep.run(slice(0, 1), engine)
    stages["first_prompt_done"] = perf_counter() - began
    print(json.dumps(stages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
