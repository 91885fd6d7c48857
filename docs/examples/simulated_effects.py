import numpy as np
import pandas as pd

rng = np.random.default_rng(2)
doses = [0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9]
cells = [range(40), ["top", "random"], range(4), doses]
names = ["prompt_id", "arm", "layer", "effective_rate"]
effects = pd.MultiIndex.from_product(cells, names=names).to_frame(index=False)
effects["document_id"] = effects["prompt_id"] // 2  # 20 documents of two prompts each
effects["replacement"], effects["site"] = "median", "pre"
curve = np.minimum(effects["effective_rate"] / 0.03, 1) * np.where(effects["arm"] == "top", 0.5, 0.1)
height = rng.gamma(9, 1 / 9, 20)[effects["document_id"]] * np.where(effects["layer"] == 0, 5, 1)
effects["delta_logprob"] = curve * height + 0.02 * rng.standard_normal(len(effects))
effects["delta_logit"] = 1.5 * effects["delta_logprob"] + 0.02 * rng.standard_normal(len(effects))
effects["kl"] = np.abs(effects["delta_logprob"])
effects["top1_changed"] = rng.random(len(effects)) < effects["delta_logprob"].clip(0, 0.9)
