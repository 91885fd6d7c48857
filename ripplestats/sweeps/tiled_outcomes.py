"""Residual streams → outcomes, one tile of branches × vocabulary at a time.

A tile stays in the processor's cache while everything is taken from it, and the logits of all branches never exist
together. The sums over the vocabulary are exact rearrangements of those in ``outcomes.compare``. With p a token's clean
probability and d the change of its logit less a shift s of the branch,

    log Z' − log Z = s + log(1 + Q + D)      KL(clean ‖ replaced) = log(1 + Q + D) − D

where D = Σ p·d and Q = Σ p·(eᵈ − 1 − d). Any shift not above log Z' − log Z keeps the logarithm's argument at one or
more, so that nothing cancels. The mean change of the logits under p is one (Jensen), and with it D is nearly zero and Q,
whose terms are all non-negative, carries the divergence: small ones keep their digits.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ripplestats.model.unembedding import Unembedding
from ripplestats.sweeps.outcomes import Clean, Outcomes, clean_prediction, compare, joined, widest

_ROWS_AT_ONCE = 1024
_TOKENS_AT_ONCE = 2048
_LIKELY = 64
#: A logit that rises by more than this would overflow the exponential; such branches take the plain way.
_LARGEST_RISE = 80.0


@dataclass(frozen=True)
class _Shift:
    """A shift for every branch, not above the change of its log-normaliser."""

    clean: Clean
    hidden: Float[Tensor, "batch embedding"]
    probabilities: Float[Tensor, "batch vocabulary"]
    unembed: Unembedding

    def of(self, hidden: Float[Tensor, "branches batch embedding"]) -> Float[Tensor, "branches batch"]:
        return self._over_likely_tokens(hidden) if self.unembed.softcap else self._mean_change(hidden)

    @cached_property
    def _mean_row(self) -> Float[Tensor, "batch embedding"]:
        return self.probabilities @ self.unembed.head.weight.float() / self.unembed.divisor

    def _mean_change(self, hidden: Tensor) -> Tensor:
        """Return the mean change of the logits, which are linear in the hidden state."""
        return ((hidden.float() - self.hidden.float()) * self._mean_row).sum(-1)

    def _over_likely_tokens(self, hidden: Tensor) -> Tensor:
        """Return log Σ p·eᵈ over the likeliest tokens: part of a sum of positive terms, where logits are capped."""
        likely = self.clean.log_probs.topk(min(_LIKELY, self.clean.log_probs.shape[-1]))
        columns = []
        for prompt, (log_probs, tokens) in enumerate(zip(*likely, strict=True)):
            change = self.unembed.logits(hidden[:, prompt], tokens).float() - self.clean.logits[prompt, tokens]
            columns.append((log_probs + change).logsumexp(-1))
        return torch.stack(columns, dim=-1)


@dataclass(frozen=True)
class _Sums:
    """Running sums over the vocabulary for a set of branches, each of shape (branches, batch)."""

    shift: Tensor
    weighted_change: Tensor
    curvature: Tensor
    largest: Tensor
    largest_rise: Tensor
    target: Tensor
    top1: Tensor


def compare_residuals(
    residual: Float[Tensor, "branches batch hidden"], target: Int[Tensor, " batch"], unembed: Unembedding
) -> tuple[Clean, Outcomes]:
    """Compare branches with the clean prediction.

    Args:
        residual: residual streams after the last block; the first is the unmodified one, the others are the branches.
        target: the tokens whose probability is followed.
        unembed: the model's way from there to its logits.
    """
    hidden = unembed.hidden(residual)
    clean = clean_prediction(unembed.logits(hidden[0]), target)
    shift = _Shift(clean, hidden[0], clean.log_probs.exp(), unembed)
    at_once = max(1, _ROWS_AT_ONCE // hidden.shape[1])
    return clean, joined([_compare_rows(shift, rows) for rows in hidden[1:].split(at_once)])


def _compare_rows(shifts: _Shift, hidden: Float[Tensor, "branches batch embedding"]) -> Outcomes:
    clean = shifts.clean
    sums = _sum_over_vocabulary(shifts, hidden)
    if (sums.largest_rise > _LARGEST_RISE).any():
        return joined([compare(clean, shifts.unembed.logits(one)) for one in hidden.split(1)])
    wide = widest(hidden.device)
    change, curvature = sums.weighted_change.to(wide), sums.curvature.to(wide)
    divergence_with_change = torch.log1p(curvature + change)
    delta_logit = clean.logit - sums.target
    return Outcomes(
        delta_logit=delta_logit,
        delta_logprob=(delta_logit.to(wide) + sums.shift + divergence_with_change).float(),
        kl=(divergence_with_change - change).clamp_(min=0.0).float(),
        top1_changed=sums.largest > sums.top1,
    )


def _sum_over_vocabulary(shifts: _Shift, hidden: Float[Tensor, "branches batch embedding"]) -> _Sums:
    clean, unembed = shifts.clean, shifts.unembed
    shift = shifts.of(hidden)
    zero = clean.logit.new_zeros(hidden.shape[:2])
    sums = _Sums(shift, zero, zero.clone(), zero - torch.inf, zero - torch.inf, zero.clone(), zero.clone())
    for start in range(0, clean.logits.shape[-1], _TOKENS_AT_ONCE):
        tokens = slice(start, start + _TOKENS_AT_ONCE)
        logits = unembed.logits(hidden, tokens).float()
        torch.maximum(sums.largest, logits.amax(-1), out=sums.largest)
        _pick(sums.target, logits, clean.target - start)
        _pick(sums.top1, logits, clean.top1 - start)
        change = logits.sub_(clean.logits[:, tokens]).sub_(shift[..., None])
        torch.maximum(sums.largest_rise, change.amax(-1), out=sums.largest_rise)
        weights = shifts.probabilities[:, tokens]
        curvature = torch.expm1(change).sub_(change)
        sums.curvature.add_(curvature.mul_(weights).sum(-1))
        sums.weighted_change.add_(change.mul_(weights).sum(-1))
    return sums


def _pick(into: Tensor, logits: Float[Tensor, "branches batch tokens"], column: Int[Tensor, " batch"]) -> None:
    """Copy one column a prompt into ``into``, for the prompts whose column lies in this tile."""
    inside = (column >= 0) & (column < logits.shape[-1])
    columns = column.clamp(0, logits.shape[-1] - 1).expand(logits.shape[0], -1)[..., None]
    torch.where(inside, logits.gather(-1, columns)[..., 0], into, out=into)
