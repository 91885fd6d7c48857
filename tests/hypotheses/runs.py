"""Effects of simulated runs whose truth is known."""

import numpy as np
import pandas as pd

RATES = np.array([0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5, 0.9])


def run_frame(
    core: float,
    last: float = 0.0,
    n: int = 80,
    replacements: tuple[str, ...] = ("median",),
    arms: tuple[str, ...] = ("top", "random"),
    layers: tuple[int, ...] = (0, 1, 2),
    noise: float = 0.02,
) -> pd.DataFrame:
    """Effects that rise linearly to a plateau of one at ``core`` and by ``last`` more at 90 %; five times that at block 0."""
    rng = np.random.default_rng(0)
    parts = []
    for arm in arms:
        for replacement in replacements:
            for layer in layers:
                mean = np.minimum(RATES / core, 1) + last * RATES if arm == "top" else 0.2 * RATES
                mean = mean * (5 if layer == 0 else 1) * (1.5 if replacement == "zero" else 1)
                values = mean * rng.normal(1, 10 * noise, (n, 1)) + rng.normal(0, noise, (n, len(RATES)))
                documents, doses = np.meshgrid(np.arange(n), RATES, indexing="ij")
                parts.append(
                    pd.DataFrame(
                        {
                            "prompt_id": documents.ravel(),
                            "document_id": documents.ravel(),
                            "arm": arm,
                            "replacement": replacement,
                            "site": "pre",
                            "layer": layer,
                            "effective_rate": doses.ravel(),
                            "delta_logprob": values.ravel(),
                            "top1_changed": values.ravel() > 1.2,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)
