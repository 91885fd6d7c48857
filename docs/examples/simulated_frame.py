import numpy as np
import pandas as pd

rng = np.random.default_rng(1)
doses = np.array([0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
documents = np.repeat(np.arange(40), 2)  # 40 documents of two prompts each
level = rng.gamma(9, 1 / 9, 40)[documents]  # documents differ in how much they lose
breaks = 0.05 * np.exp(0.3 * rng.standard_normal(80))  # prompts differ in where they level off
curves = level[:, None] * np.minimum(doses / breaks[:, None], 1)
curves += 0.1 * rng.standard_normal((80, 1)) + 0.05 * rng.standard_normal(curves.shape)
frame = pd.DataFrame(
    {
        "prompt": np.repeat(np.arange(80), len(doses)),
        "document": np.repeat(documents, len(doses)),
        "dose": np.tile(doses, 80),
        "effect": curves.ravel(),
    }
)
