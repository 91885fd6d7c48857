"""Logits → outcomes: how much a prediction changed.

Signs are clean − replaced; positive means that the target became less likely. Logarithms are natural (nats).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ripplestats.model.unembedding import Unembedding


@dataclass(frozen=True)
class Clean:
    """What the unmodified model predicts for a batch of prompts."""

    logits: Float[Tensor, "batch vocabulary"]
    log_probs: Float[Tensor, "batch vocabulary"]
    target: Int[Tensor, " batch"]
    logit: Float[Tensor, " batch"]
    logprob: Float[Tensor, " batch"]
    rank: Int[Tensor, " batch"]
    entropy: Float[Tensor, " batch"]
    top1: Int[Tensor, " batch"]


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of many branches on a batch of prompts; those that need the vocabulary are None where it was left out.

    ``kl`` is KL(clean ‖ replaced); ``top1_changed`` holds where another token is now strictly more likely than the one
    that was the most likely.
    """

    delta_logit: Float[Tensor, "branches batch"]
    delta_logprob: Float[Tensor, "branches batch"] | None = None
    kl: Float[Tensor, "branches batch"] | None = None
    top1_changed: Bool[Tensor, "branches batch"] | None = None

    def columns(self) -> dict[str, Tensor]:
        """Return the outcomes that were computed, under the names of their columns."""
        return {name: value for name, value in vars(self).items() if value is not None}


def clean_prediction(logits: Float[Tensor, "batch vocabulary"], target: Int[Tensor, " batch"]) -> Clean:
    """Describe the unmodified prediction; the target's rank is 1 where it is the most likely token."""
    logits = logits.float()
    log_probs = logits.log_softmax(-1)
    logit = logits.gather(-1, target[:, None])[:, 0]
    return Clean(
        logits=logits,
        log_probs=log_probs,
        target=target,
        logit=logit,
        logprob=log_probs.gather(-1, target[:, None])[:, 0],
        rank=(logits > logit[:, None]).sum(-1) + 1,
        entropy=-(log_probs.exp() * log_probs).nan_to_num(0.0).sum(-1),
        top1=logits.argmax(-1),
    )


def compare(clean: Clean, logits: Float[Tensor, "branches batch vocabulary"]) -> Outcomes:
    """Compare the logits of branches with the clean prediction.

    The divergence is summed as Σ q − p − p·log(q/p), which equals KL(p ‖ q) because both distributions sum to one, and
    whose terms are all non-negative: small divergences keep their digits.
    """
    logits = logits.to(widest(logits.device))
    at_target = clean.target.expand(logits.shape[0], -1)[..., None]
    at_top1 = clean.top1.expand(logits.shape[0], -1)[..., None]
    log_probs = logits.log_softmax(-1)
    clean_log_probs = clean.logits.to(logits.dtype).log_softmax(-1)
    log_ratio = log_probs - clean_log_probs
    before, after = clean_log_probs.exp(), log_probs.exp()
    # A token that was impossible adds nothing but its new probability, however large the ratio.
    terms = after - before - torch.where(before > 0, before * log_ratio, 0.0)
    return Outcomes(
        delta_logit=(clean.logit - logits.gather(-1, at_target)[..., 0]).float(),
        delta_logprob=(-log_ratio.gather(-1, at_target)[..., 0]).float(),
        kl=terms.sum(-1).float(),
        top1_changed=logits.amax(-1) > logits.gather(-1, at_top1)[..., 0],
    )


def compare_target_logits(
    residual: Float[Tensor, "branches batch hidden"], target: Int[Tensor, " batch"], unembed: Unembedding
) -> tuple[Clean, Outcomes]:
    """Compare the target's logit alone: one row of the unembedding a prompt in place of the whole vocabulary.

    That row is multiplied in float32 at least: bfloat16 would round a logit of 20 to the next eighth.

    Args:
        residual: residual streams after the last block; the first is the unmodified one, the others are the branches.
        target: the tokens whose logit is followed.
        unembed: the model's way from there to its logits.
    """
    hidden = unembed.hidden(residual)
    clean = clean_prediction(unembed.logits(hidden[0]), target)
    hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    logits = [unembed.logits(hidden[:, prompt], target[prompt, None])[:, 0] for prompt in range(hidden.shape[1])]
    logit = torch.stack(logits, dim=-1).float()
    return clean, Outcomes(delta_logit=logit[0] - logit[1:])


def widest(device: torch.device) -> torch.dtype:
    """Return the widest number format of a device (Apple's has no float64)."""
    return torch.float32 if device.type == "mps" else torch.float64


def joined(parts: list[Outcomes]) -> Outcomes:
    """Put the outcomes of several sets of branches one after another."""
    columns = [part.columns() for part in parts]
    return Outcomes(**{name: torch.cat([one[name] for one in columns]) for name in columns[0]})
