"""What of a prompt goes with its effect: the moderators of a run's main curve."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ripplestats.errors import InputError
from ripplestats.fits.curve_layout import Cell
from ripplestats.fits.moderators import moderators
from ripplestats.fits.prompt_curves import prompt_curves
from ripplestats.fits.result import FitResult

if TYPE_CHECKING:
    from ripplestats.store.run_directory import Run

#: Kinds of target token, by its text.
_WORD_START, _WORD_REST, _OTHER = "starts a word", "goes on with a word", "number or sign"


def run_moderators(run: "Run", cell: Cell) -> FitResult:
    """Regress prompts' plateau, slope and core, of their mean over blocks, on what the clean model says of them.

    Covariates, each where it varies: log-probability of the target and entropy of the prediction without intervention
    (their ranks say the same), tokens of context, position in the document where it is not their number over again, kind of
    target token, and the corpus' own category.

    Raises:
        InputError: the prompts are too few or too alike for a regression.
    """
    found = prompt_curves(run, cell)
    n_prompts, n_doses = len(found.prompts), len(found.x)
    frame = pd.DataFrame(
        {
            "prompt_id": np.repeat(found.prompts, n_doses),
            "document_id": np.repeat(found.documents, n_doses),
            "effective_rate": np.tile(found.x, n_prompts),
            cell.metric: found.values[:, 0].ravel(),
        }
    )
    prompts = run.prompts()
    prompts = prompts[prompts["prompt_id"].isin(found.prompts)]
    prompts = prompts.assign(
        context_tokens=prompts["context_ids"].map(len), target_kind=prompts["target"].map(kind_of_token)
    )
    names = ["clean_logprob", "clean_entropy", "context_tokens", "position", "target_kind", "kind"]
    if len((prompts["position"] - prompts["context_tokens"]).unique()) == 1:
        names.remove("position")
    varied = [name for name in names if len(prompts[name].unique()) > 1]
    if not varied:
        raise InputError("no covariate differs between prompts")
    return moderators(frame, prompts, y=cell.metric, x="effective_rate", covariates=varied)


def kind_of_token(text: str) -> str:
    """Say of a token whether it starts a word, goes on with one, or is a number or sign."""
    plain = text.strip()
    if not plain[:1].isalpha():
        return _OTHER
    return _WORD_START if text[:1].isspace() else _WORD_REST
