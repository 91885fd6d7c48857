"""Curves under a law of breaks: the likelihood of parameters, and where they may be searched."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ripplestats.fits.curves import Floats
from ripplestats.fits.random_breaks.break_law import LOG_NORMAL, WIDEST_LOG_NORMAL, Nodes, integration_nodes
from ripplestats.fits.random_breaks.layout import BREAK, LOG_RESIDUAL, LOG_SPREAD, Block, Law, Layout
from ripplestats.fits.random_breaks.likelihood import Evaluation, evaluate, log_likelihood

_FURTHEST = 30.0
#: Log-likelihood that a search gives up to stay off the widest log-normal spread, in units of −log of the room left.
_BARRIER = 0.05


@dataclass(frozen=True)
class Problem:
    """Curves in blocks of equal doses, all distinct doses, what is random, and the least log residual to be searched."""

    blocks: tuple[Block, ...]
    x: Floats
    layout: Layout
    equal_breaks: bool = False
    least_residual: float = -_FURTHEST

    def with_equal_breaks(self) -> "Problem":
        """Return the problem with the spread of breaks at zero."""
        return replace(self, layout=replace(self.layout, random_break=False, joint=False), equal_breaks=True)

    def under(self, law: Law) -> "Problem":
        """Return the problem under another law of breaks, effects and errors."""
        joint = law.correlated and self.layout.random_break
        layout = replace(self.layout, law=law.breaks, unstructured=law.correlated, joint=joint, serial=law.serial)
        return replace(self, layout=layout)

    @cached_property
    def smallest_gap(self) -> float:
        """The least distance between doses."""
        return float(np.diff(self.x).min())

    def allows(self, parameters: Floats) -> bool:
        """Say whether a search may go there: the break hardly outside the doses, its spread at most half as wide.

        Without these limits the likelihood may be largest where almost all breaks lie outside the doses. A residual far
        below that of every start is a line search's overshoot, where nothing can be computed any more; so are errors of no
        measurable difference from dose to dose.
        """
        first, last = float(self.x[0]), float(self.x[-1])
        lowest = 6 * first - 5 * self.x[1]
        if self.layout.law == LOG_NORMAL:
            lowest = max(lowest, self.x[1] / 100)
        return bool(
            lowest <= parameters[BREAK] <= last
            and self.layout.spread(parameters) <= self.widest(parameters)
            and self.least_residual <= parameters[LOG_RESIDUAL] <= _FURTHEST
            and np.abs(parameters[self.layout.first_shape :]).max(initial=0.0) <= _FURTHEST
        )

    def widest(self, parameters: Floats) -> float:
        """Return the widest spread of breaks that a search may try."""
        half = float(self.x[-1] - self.x[0]) / 2
        return min(half, WIDEST_LOG_NORMAL * float(parameters[BREAK])) if self.layout.law == LOG_NORMAL else half

    def barrier(self, parameters: Floats) -> tuple[float, Floats]:
        """Return what a search gives up near the widest log-normal spread, and its slopes: a wall would stop it there."""
        slopes = np.zeros(len(parameters))
        widest = self.widest(parameters)
        if self.layout.law != LOG_NORMAL or not self.layout.random_break:
            return 0.0, slopes
        used = min(self.layout.spread(parameters) / widest, 1 - _BARRIER)
        steep = _BARRIER * used / (1 - used)
        slopes[LOG_SPREAD] = steep
        if widest < (self.x[-1] - self.x[0]) / 2:
            slopes[BREAK] = -steep / parameters[BREAK]
        return -_BARRIER * float(np.log1p(-used)), slopes

    def nodes(self, parameters: Floats, order: int) -> Nodes:
        """Return integration nodes around the break of ``parameters``."""
        return integration_nodes(
            self.x, float(parameters[BREAK]), self.layout.spread(parameters), order, self.layout.law
        )

    def log_likelihood(self, parameters: Floats, order: int) -> float:
        """Return the log-likelihood with nodes around the break of ``parameters``."""
        return log_likelihood(self.blocks, self.layout, parameters, self.nodes(parameters, order))

    def evaluate(self, parameters: Floats, order: int) -> Evaluation:
        """Return log-likelihood and scores with nodes around the break of ``parameters``."""
        return evaluate(self.blocks, self.layout, parameters, self.nodes(parameters, order))
