"""One-sided tests of weighted means: signs of skewness-corrected scores of documents, flipped at random.

A document contributes u = weight · value, with mean zero at the edge of the null. With z = u / √Σu² the statistic is

    S = Σs / √Σs²,    s = z + L·(1 + G·Σz⁴)²·z³,    L = 1/6 + q²/3,    q the 95 % point of the normal,    G = 8.

Σz is a monotone function of the t statistic, and Σz³ the sample skewness over √n. For large samples Σz⁴ vanishes, and
Σz + L·Σz³ is the t statistic corrected for skewness (Johnson 1978, J. Am. Stat. Assoc. 73:536), taken at its 5 % point: the
error of a 5 % test is of order 1/n, where that of the t test is of order 1/√n. The reference distribution flips the signs
of the u (Fisher 1935, section 21): scores are odd, and Σz² and Σz⁴ stay. So p is the share of subsets of the documents
whose scores sum to zero or less; at any number of documents and with any tails the test is exact where contributions are
symmetric about the null, and what the noise of the skewness adds is accounted for. Were the factor of z³ fixed, every score
would rise with the mean that is on trial, and p fall; its own change is too small to undo that.

G is of order 1/n, and the one part that no theory gives. Few documents with heavy tails show too little of their skewness,
least of it where the t statistic is large, and their largest z are taken for larger by 1 + G·Σz⁴. G was chosen from 0, 4, 6,
8, 10 and 12 on populations that none of the nulls in ``tests/calibration`` holds; there is the table of sizes and power
for each (``results/scores.csv``): a larger G helps 30 documents and harms 100.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ripplestats.fits.contrasts import contrast
from ripplestats.fits.curves import Floats
from ripplestats.fits.one_sided import OneSided

_CORRECTION = 1 / 6 + stats.norm.isf(0.05) ** 2 / 3
GROWTH_WITH_TAILS = 8.0
#: Sums of the same numbers in another order differ by less; statistics that tie with a replicate count as tied.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class SignFlips:
    """Tests whether means differ from zero, one a group.

    ``statistic`` is S, NaN where documents are too few or have no spread; ``replicates`` are flips × groups; ``scale`` is
    what one unit of the statistic is in units of the mean.
    """

    statistic: Floats
    replicates: Floats
    scale: Floats

    def above_zero(self) -> OneSided:
        """Test the claim that the mean is above zero."""
        return _one_sided(self.statistic, self.replicates)

    def below_zero(self) -> OneSided:
        """Test the claim that the mean is below zero."""
        return _one_sided(-self.statistic, -self.replicates)

    def beyond(self, alpha: float) -> tuple[Floats, Floats]:
        """Return by how much, in units of the mean, the statistic exceeds what rejects at ``alpha``, above and below zero.

        Positive exactly where p ≤ alpha; minus infinity where flips are too few for that size.
        """
        place = int(np.floor(alpha * (1 + len(self.replicates)) + 1e-9))
        if place == 0:
            nothing = np.where(np.isnan(self.statistic), np.nan, -np.inf)
            return nothing, nothing
        least, most = (np.partition(sign * self.replicates, -place, axis=0)[-place] for sign in (-1, 1))
        above, below = self.statistic - _ROUNDING - most, -self.statistic - _ROUNDING - least
        return self.scale * above, self.scale * below


def sign_flips(values: Floats, weights: Floats, signs: Floats, *, growth: float = GROWTH_WITH_TAILS) -> SignFlips:
    """Test weighted means of documents against zero.

    Args:
        values: documents × groups.
        weights: prompts of each document.
        signs: flips × documents, from ``flip_signs``.
        growth: of the correction with the tails, G above.
    """
    groups: tuple[Hashable, ...] = tuple(range(values.shape[1]))
    known = contrast(values, weights, groups).std_error > 0
    contributions = weights[:, None] * values
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.sqrt((contributions**2).sum(axis=0))
        z = contributions / length
        scores = z + _CORRECTION * (1 + growth * (z**4).sum(axis=0)) ** 2 * z**3
        spread = np.sqrt((scores**2).sum(axis=0))
        scores /= spread
    scores[:, ~known] = 0.0
    statistic = np.where(known, scores.sum(axis=0), np.nan)
    return SignFlips(statistic, signs @ scores, length * spread / weights.sum())


def _one_sided(statistic: Floats, replicates: Floats) -> OneSided:
    statistic = statistic - _ROUNDING
    as_large = (replicates >= statistic).sum(axis=0)
    p_value = np.where(np.isnan(statistic), np.nan, (1 + as_large) / (1 + len(replicates)))
    return OneSided(statistic, p_value, replicates)
