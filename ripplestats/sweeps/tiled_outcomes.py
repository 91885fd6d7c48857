"""Residual streams → outcomes, one tile of branches × vocabulary at a time.

A tile stays in the processor's cache while everything is taken from it, and the logits of all branches never exist
together. With p a token's clean probability and d the change of its logit, the sums that are needed are exact
rearrangements of those in ``outcomes.compare``:

    log Z' − log Z = log Σ p·eᵈ        KL(clean ‖ replaced) = log Σ p·eᵈ − Σ p·d

The changes are products of the *difference* of the hidden states with the unembedding, not differences of logits, so
that their rounding errors are in proportion to them; a divergence is right to some 1e-7 nats. The most likely token
after the intervention is the one with the largest p·eᵈ.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ripplestats.model.processor import cache_of_core
from ripplestats.model.unembedding import Unembedding
from ripplestats.sweeps.outcomes import Clean, Outcomes, clean_prediction, compare, widest

_ROWS_AT_ONCE = 256
#: Tokens that are looked at together: so many that a tile fits in the cache that a core has to itself.
_FEWEST_TOKENS, _MOST_TOKENS = 512, 2048
#: Where the normaliser changes by more than this factor, eᵈ may have left the range of float32: the plain way then.
_LARGEST_RATIO = 1e25


@dataclass(frozen=True)
class _Sums:
    """Sums over the vocabulary, each of shape (branches, batch); ``ratio`` is Σ p·eᵈ, ``mean_change`` Σ p·d."""

    ratio: Tensor
    mean_change: Tensor
    largest: Tensor
    top1: Tensor
    target_change: Tensor


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
    difference = hidden[1:] - hidden[0]
    sums = _sum_over_vocabulary(clean, hidden[0], difference, unembed)
    log_ratio = sums.ratio.log()
    outcomes = Outcomes(
        delta_logit=-sums.target_change.float(),
        delta_logprob=(log_ratio - sums.target_change).float(),
        kl=(log_ratio - sums.mean_change).clamp_(min=0.0).float(),
        top1_changed=sums.largest > sums.top1,
    )
    within = (sums.ratio > 1 / _LARGEST_RATIO) & (sums.ratio < _LARGEST_RATIO)
    for row in (~within).any(-1).nonzero()[:, 0].tolist():
        plain = compare(clean, unembed.logits(hidden[0] + difference[row])[None])
        for name, column in outcomes.columns().items():
            column[row] = plain.columns()[name][0]
    return clean, outcomes


def _sum_over_vocabulary(
    clean: Clean, hidden: Tensor, difference: Float[Tensor, "branches batch embedding"], unembed: Unembedding
) -> _Sums:
    wide, width = widest(hidden.device), _tokens_at_once(hidden.device)
    sums = _Sums(*(clean.logit.new_zeros(difference.shape[:2], dtype=wide) for _ in range(5)))
    total = clean.logit.new_zeros(difference.shape[1], dtype=wide)
    n_parts = -(-difference.shape[:2].numel() // _ROWS_AT_ONCE)
    at_once = -(-len(difference) // n_parts)
    parts = [slice(first, first + at_once) for first in range(0, len(difference), at_once)]
    shares = [(difference[rows], _Sums(*(one[rows] for one in vars(sums).values()))) for rows in parts]
    mean_row = hidden.new_zeros(hidden.shape, dtype=wide)
    looked_up = {token // width for token in torch.cat([clean.target, clean.top1]).tolist()}
    for start in range(0, clean.log_probs.shape[-1], width):
        tokens = slice(start, start + width)
        probabilities = clean.log_probs[:, tokens].exp()
        total += probabilities.sum(-1)
        if _exactly_linear(unembed):
            mean_row += probabilities.to(hidden.dtype) @ unembed.head.weight[tokens]
        change_of = unembed.change(hidden, tokens)
        # Tokens outside, branches inside: a tile of the unembedding is read from memory once.
        for some, mine in shares:
            change = change_of(some).float()
            if not _exactly_linear(unembed):
                mine.mean_change.add_((change * probabilities).sum(-1))
            if start // width in looked_up:
                _pick(mine.target_change, change, clean.target, start)
            weights = change.exp_().mul_(probabilities)
            if start // width in looked_up:
                _pick(mine.top1, weights, clean.top1, start)
            torch.maximum(mine.largest, weights.amax(-1), out=mine.largest)
            mine.ratio.add_(weights.sum(-1))
    if _exactly_linear(unembed):
        # Σ p·d is the difference times the mean row of the unembedding.
        mean_row = mean_row.to(hidden.dtype) / unembed.divisor
        sums.mean_change.copy_(torch.einsum("rbe,be->rb", difference, mean_row))
    # Rounded probabilities do not quite sum to one, and a change of zero must give a ratio of one.
    sums.ratio.div_(total)
    sums.mean_change.div_(total)
    return sums


def _exactly_linear(unembed: Unembedding) -> bool:
    """Tell whether Σ p·d may be taken before the product; where d is rounded to 16 bits both sums must be over the same d."""
    return unembed.softcap is None and unembed.head.weight.dtype.itemsize >= 4


def _tokens_at_once(device: torch.device) -> int:
    if device.type != "cpu":
        return _MOST_TOKENS
    fitting = cache_of_core() // (_ROWS_AT_ONCE * torch.float32.itemsize)
    return min(max(fitting, _FEWEST_TOKENS), _MOST_TOKENS)


def _pick(
    into: Tensor, values: Float[Tensor, "branches batch tokens"], tokens: Int[Tensor, " batch"], start: int
) -> None:
    """Copy one token's column a prompt into ``into``, for the prompts whose token lies in the tile from ``start`` on."""
    columns = tokens - start
    inside = (columns >= 0) & (columns < values.shape[-1])
    columns = columns.clamp(0, values.shape[-1] - 1).expand(values.shape[0], -1)[..., None]
    into.copy_(torch.where(inside, values.gather(-1, columns)[..., 0], into))
