"""Which law of prompts' curves is fitted: by name, or the general one where it can be fitted."""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.layout import GENERAL, RANDOM, SIMPLE
from ripplestats.fits.random_breaks.model import BreakModel, fit_break_model

LAWS = {"simple": SIMPLE, "general": GENERAL}
AUTOMATIC = "auto"
#: With fewer prompts the general law has too many parameters to be chosen by itself.
PROMPTS_OF_GENERAL_LAW = 30


def fit_by_law(
    values: Floats,
    x: Floats,
    clusters: Sequence[Hashable] | NDArray[np.generic] | None = None,
    *,
    law: str = AUTOMATIC,
    method: str = "auto",
    random: Sequence[str] = RANDOM,
    conf_level: float = 0.95,
) -> BreakModel:
    """Fit the segmented mixed model under a named law.

    ``auto`` is the general law with at least 30 prompts and no negative dose; where that gives no estimate or no
    interval, the simple one. A note says which and why. The other arguments are those of ``fit_break_model``.

    Raises:
        InputError: the law is not known, or as ``fit_break_model``.
    """
    if law != AUTOMATIC and law not in LAWS:
        raise InputError(f"law={law!r} is not known; allowed: {', '.join((AUTOMATIC, *LAWS))}")

    def fitted(name: str) -> BreakModel:
        return fit_break_model(values, x, clusters, method=method, random=random, law=LAWS[name], conf_level=conf_level)

    if law != AUTOMATIC:
        return fitted(law)
    why = _not_for(values, x)
    if not why:
        general = fitted("general")
        why = _not_told(general)
        if not why:
            return general
    simple = fitted("simple")
    return replace(simple, notes=(f"The simple law was fitted, for {why}.", *simple.notes))


def _not_for(values: Floats, x: Floats) -> str:
    """Return why the general law is not tried, or nothing."""
    if len(values) < PROMPTS_OF_GENERAL_LAW:
        return f"the general one is chosen from {PROMPTS_OF_GENERAL_LAW} prompts on"
    return "the general one knows no negative dose" if x[0] < 0 else ""


def _not_told(general: BreakModel) -> str:
    """Return why the general law tells no mean break, or nothing; what no law can tell is the simple one's to say."""
    if general.undefined:
        return f"the general one gives no threshold: {general.undefined.removeprefix('undefined: ')}"
    if not np.isfinite(general.std_error[0]) and general.n_clusters > 1:
        return "the general one gives the threshold no interval: the information is singular"
    return ""
