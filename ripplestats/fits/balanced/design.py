"""The design of a balanced mixed model, and the few coordinates in which its likelihood lives."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ripplestats.errors import InputError
from ripplestats.fits.curves import Floats
from ripplestats.fits.products import CrossProducts

#: What random effects may belong to: prompts lie in documents, layers are crossed with both; an interaction is one
#: prompt in one layer.
LEVELS = ("document", "prompt", "layer", "interaction")
#: A direction smaller than this share of the largest is none.
_RANK = 1e-9


@dataclass(frozen=True)
class RandomEffect:
    """Columns (doses × q) whose coefficients vary between units; uncorrelated ones have a diagonal covariance."""

    design: Floats
    correlated: bool = True


@dataclass(frozen=True)
class BalancedModel:
    """Fixed effects (doses × k), and the random effects of the levels that have any."""

    fixed: Floats
    document: RandomEffect | None = None
    prompt: RandomEffect | None = None
    layer: RandomEffect | None = None
    interaction: RandomEffect | None = None

    @property
    def effects(self) -> dict[str, RandomEffect]:
        """The random effects by level."""
        return {level: effect for level in LEVELS if (effect := getattr(self, level)) is not None}


@dataclass(frozen=True)
class Factor:
    """How the entries of one relative factor C make a covariance: M = B C C′ B′, and Γ/σ² = U C C′ U′.

    B maps into the reduced coordinates, U into those of the random effect's own columns. Where correlations are free,
    B is orthonormal: any factor does, and the optimiser wants coordinates of like size.
    """

    level: int
    basis: Floats
    back: Floats
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    place: slice

    def matrix(self, parameters: NDArray[Any]) -> NDArray[Any]:
        """Return C, of (…, m) parameters of all factors."""
        size = self.basis.shape[1]
        C = np.zeros((*parameters.shape[:-1], size, size), parameters.dtype)
        C[..., self.rows, self.columns] = parameters[..., self.place]
        return C


@dataclass(frozen=True)
class Reduction:
    """A balanced design in reduced coordinates.

    ``Q`` (R, q) is an orthonormal basis of all columns of Z, ``N`` (R, r − q) of what X has beside it; ``inside``
    (q, k) and ``outside`` (r − q, k) are X in them.
    """

    Q: Floats
    N: Floats
    inside: Floats
    outside: Floats
    factors: tuple[Factor, ...]
    sizes: Floats
    counts: Floats
    n_layers: int

    @cached_property
    def n_documents(self) -> int:
        """Number of documents."""
        return int(self.counts.sum())

    @cached_property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return int(self.counts @ self.sizes)

    @cached_property
    def n_observations(self) -> int:
        """Number of observations."""
        return self.n_prompts * self.n_layers * len(self.Q)

    @cached_property
    def rest_df(self) -> int:
        """Degrees of freedom of the sum of squares that holds residual variance alone."""
        return self.n_prompts * self.n_layers * (len(self.Q) - len(self.Q.T)) - len(self.N.T)

    @cached_property
    def interaction_df(self) -> int:
        """Degrees of freedom of prompts by layers."""
        return (self.n_prompts - 1) * (self.n_layers - 1)

    @cached_property
    def n_parameters(self) -> int:
        """Entries of the relative factors."""
        return int(self.factors[-1].place.stop)

    def relative_covariances(self, parameters: NDArray[Any]) -> NDArray[Any]:
        """Return the M of the levels, (…, 4, q, q); zero for those without an effect."""
        q = self.Q.shape[1]
        M = np.zeros((*parameters.shape[:-1], len(LEVELS), q, q), parameters.dtype)
        for factor in self.factors:
            half = factor.basis @ factor.matrix(parameters)
            M[..., factor.level, :, :] = half @ np.swapaxes(half, -1, -2)
        return M

    def chain(self, slopes: NDArray[Any], parameters: NDArray[Any]) -> NDArray[Any]:
        """Turn derivatives in the M (…, 4, q, q) into derivatives in the parameters (…, m)."""
        found = [
            2
            * (factor.basis.T @ slopes[..., factor.level, :, :] @ factor.basis @ factor.matrix(parameters))[
                ..., factor.rows, factor.columns
            ]
            for factor in self.factors
        ]
        return np.concatenate(found, axis=-1)


@dataclass(frozen=True)
class Strata:
    """Sufficient statistics in the reduced coordinates; further axes in front are replicates.

    ``prompts``, ``layers`` and ``cells`` (q, q) are the scatter of the first three strata; of documents of each size
    (S,) there are
    the mean (S, q) and the scatter about it (S, q, q); ``outside`` (r − q,) is the grand mean in the directions of X
    that Z does not have; ``rest`` the sum of squares of everything else. Means are less the curve X · ``reference``,
    so that nothing small is found as a difference of large numbers.
    """

    prompts: Floats
    layers: Floats
    cells: Floats
    means: Floats
    scatter: Floats
    outside: Floats
    rest: Floats
    reference: Floats

    def of_replicates(self, chosen: NDArray[np.intp]) -> "Strata":
        """Return some of the replicates; one data set stands for any number of them."""
        if not np.ndim(self.rest):
            return self
        taken = {field.name: getattr(self, field.name)[chosen] for field in fields(self) if field.name != "reference"}
        return Strata(**taken, reference=self.reference)


def reduction_of(products: CrossProducts, model: BalancedModel) -> Reduction:
    """Return the reduced design.

    Raises:
        InputError: the design does not identify the model.
    """
    if not model.effects:
        raise InputError("the model has no random effects; fit it by least squares")
    Z = np.hstack([effect.design for effect in model.effects.values()])
    if any(len(columns) != products.n_doses for columns in (model.fixed, Z)):
        raise InputError(f"the design has {len(model.fixed)} and {len(Z)} rows, the curves {products.n_doses}")
    Q = _basis(Z)
    scaled = model.fixed / np.linalg.norm(model.fixed, axis=0).clip(np.finfo(np.float64).tiny)
    if len(_basis(scaled).T) < model.fixed.shape[1]:
        raise InputError("the fixed effects cannot be told apart: their columns are copies or sums of each other")
    N = _basis(scaled - Q @ (Q.T @ scaled), beside=1.0)
    reduction = Reduction(
        Q=Q,
        N=N,
        inside=Q.T @ model.fixed,
        outside=N.T @ model.fixed,
        factors=_factors(model, Q),
        sizes=products.sizes,
        counts=products.counts,
        n_layers=products.n_layers,
    )
    _check_identified(reduction, model)
    return reduction


def strata_of(products: CrossProducts, reduction: Reduction) -> Strata:
    """Return the sufficient statistics of the data."""
    Q, N, layers = reduction.Q, reduction.N, reduction.n_layers
    rest_basis = np.linalg.qr(np.hstack([Q, N]), mode="complete")[0][:, Q.shape[1] + N.shape[1] :]
    complement = np.hstack([N, rest_basis])
    n, counts, P = products.sizes, products.counts, reduction.n_prompts
    mean, of_layers = products.within[0], products.within[-layers:]
    grand = np.einsum("s,sgr->gr", n, products.sums) / P
    total = np.einsum("s,sgij->gij", n, products.between)
    contrast = grand[-layers:] - grand[0]
    means = products.sums[:, 0] / counts[:, None]
    scatter = products.between[:, 0] - counts[:, None, None] * means[:, :, None] * means[:, None, :]
    X = np.vstack([reduction.inside, reduction.outside])
    reference = np.linalg.lstsq(X, np.hstack([Q, N]).T @ grand[0], rcond=None)[0]
    # Beside X and Z all directions of a curve have the residual variance alone, whatever the stratum.
    everything = of_layers.sum(axis=0) + total[-layers:].sum(axis=0)
    rest = np.trace(complement.T @ everything @ complement) - layers * P * ((grand[0] @ N) ** 2).sum()
    cells = everything - layers * (mean + total[0]) - P * contrast.T @ contrast
    return Strata(
        prompts=layers * Q.T @ mean @ Q,
        layers=P * (contrast @ Q).T @ (contrast @ Q),
        cells=Q.T @ cells @ Q if layers > 1 else np.zeros((len(Q.T), len(Q.T))),
        means=means @ Q - reduction.inside @ reference,
        scatter=Q.T @ scatter @ Q,
        outside=grand[0] @ N - reduction.outside @ reference,
        rest=np.array(max(float(rest), 0.0)),
        reference=reference,
    )


def _basis(columns: Floats, beside: float | None = None) -> Floats:
    """Return an orthonormal basis; ``beside`` is the size of columns that what is left over of them counts against."""
    lengths = np.linalg.norm(columns, axis=0)
    scaled = columns / lengths.clip(np.finfo(np.float64).tiny) if beside is None else columns
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    basis: Floats = left[:, sizes > _RANK * (sizes.max(initial=0.0) if beside is None else beside)]
    return basis


def _factors(model: BalancedModel, Q: Floats) -> tuple[Factor, ...]:
    factors, at = [], 0
    for level, effect in model.effects.items():
        T = Q.T @ effect.design
        if len(_basis(T).T) < T.shape[1]:
            raise InputError(f"the random effects of the {level} cannot be told apart: a column repeats others")
        size = T.shape[1]
        basis = np.linalg.qr(T)[0] if effect.correlated else T / np.linalg.norm(T, axis=0)
        rows, columns = np.tril_indices(size) if effect.correlated else np.diag_indices(size)
        back = np.linalg.pinv(T) @ basis
        factors.append(Factor(LEVELS.index(level), basis, back, rows, columns, slice(at, at + len(rows))))
        at += len(rows)
    return tuple(factors)


def _check_identified(reduction: Reduction, model: BalancedModel) -> None:
    numbers = {
        "document": reduction.n_documents,
        "prompt": reduction.n_prompts,
        "layer": reduction.n_layers,
        "interaction": reduction.interaction_df,
    }
    for level, effect in model.effects.items():
        size = effect.design.shape[1]
        if numbers[level] <= size:
            raise InputError(
                f"{size} random effects of the {level} need more than {size} of them; there are {numbers[level]}"
            )
    if {"document", "prompt"} <= set(model.effects) and reduction.n_documents == reduction.n_prompts:
        raise InputError("every document holds one prompt: random effects of both cannot be told apart")
    spare = 0 if model.interaction else reduction.interaction_df
    if reduction.rest_df + spare < 1:
        raise InputError(
            f"nothing is left over as residual: {reduction.n_observations} values, and random effects that fit them all"
        )
