"""Frames of known shape, and the plain least squares that the exact fits are held against."""

import numpy as np
import pandas as pd
from hypothesis import settings

#: Property tests draw the same examples every time and keep no database.
CHECKED = settings(max_examples=25, deadline=None, derandomize=True, database=None)

#: Doses of the synthetic curves: fine below the break, coarse above.
DOSES = np.array([0.002, 0.006, 0.01, 0.014, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])


def two_phase(x: np.ndarray, start: float, below: float, above: float, at: float) -> np.ndarray:
    """The continuous line that has one slope below ``at`` and another above."""
    return start + below * np.minimum(x, at) + above * np.maximum(x - at, 0)


def frame_of(curves: np.ndarray, x: np.ndarray, documents: np.ndarray | None = None) -> pd.DataFrame:
    """Prompts' curves (prompts × doses) as a tidy frame; each prompt its own document unless told."""
    n = len(curves)
    documents = np.arange(n) if documents is None else np.asarray(documents)
    return pd.DataFrame(
        {
            "prompt_id": np.repeat(np.arange(n), len(x)),
            "document_id": np.repeat(documents, len(x)),
            "rate": np.tile(x, n),
            "effect": curves.ravel(),
        }
    )


def noisy_frame(
    seed: int, n_documents: int = 10, sizes: tuple[int, ...] = (1,), x: np.ndarray = DOSES, at: float = 0.033
) -> pd.DataFrame:
    """Curves that rise to 1 at ``at`` and flatten, with noise of documents, prompts and rows.

    ``sizes`` are the numbers of prompts of the documents, repeated as often as needed.
    """
    rng = np.random.default_rng(seed)
    documents = np.repeat(np.arange(n_documents), np.resize(sizes, n_documents))
    level = rng.gamma(16, 1 / 16, n_documents)[documents]
    curves = level[:, None] * two_phase(x, 0.05, 1 / at, 0.1, at)
    curves += 0.1 * rng.standard_normal((len(documents), 1)) + 0.05 * rng.standard_normal(curves.shape)
    return frame_of(curves, x, documents)


def least_squares_of_break(x: np.ndarray, y: np.ndarray, at: float, weights: np.ndarray | None = None) -> float:
    """The weighted residual sum of squares of the best two-phase line with its break at ``at``."""
    root = np.sqrt(np.ones(len(x)) if weights is None else weights)
    design = np.column_stack([np.ones_like(x), x, np.maximum(x - at, 0)]) * root[:, None]
    coefficients = np.linalg.lstsq(design, y * root, rcond=None)[0]
    return float(((y * root - design @ coefficients) ** 2).sum())


def relabelled(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same data with other names for prompts and documents, so that they sort differently."""
    rng = np.random.default_rng(seed)
    changed = frame.copy()
    for column in ("prompt_id", "document_id"):
        names = frame[column].unique()
        changed[column] = frame[column].map(dict(zip(names, rng.permutation(1000)[: len(names)], strict=True)))
    return changed


def document_twice(frame: pd.DataFrame) -> pd.DataFrame:
    """The same data with a copy of every document under another name."""
    again = frame.assign(
        prompt_id=frame["prompt_id"] + frame["prompt_id"].max() + 1,
        document_id=frame["document_id"] + frame["document_id"].max() + 1,
    )
    return pd.concat([frame, again], ignore_index=True)


def estimates(terms: pd.DataFrame) -> dict[str, float]:
    """The estimates of a result without groups, by term."""
    return dict(zip(terms["term"], terms["estimate"], strict=True))
