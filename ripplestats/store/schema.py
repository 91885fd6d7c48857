"""The columns of the run directory's tables: name, type and meaning, declared once."""

import pyarrow as pa


def _column(name: str, kind: pa.DataType, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"meaning": meaning})


def _outcome(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return _column(name, kind, f"{meaning}; null where it was not recorded", nullable=True)


_NAME = pa.dictionary(pa.int8(), pa.string())

EFFECTS = pa.schema(
    [
        _column("prompt_id", pa.int32(), "row of prompts.parquet"),
        _column("document_id", pa.int32(), "document of the prompt: the unit of inference"),
        _column("arm", _NAME, "how neurons are chosen"),
        _column("replacement", _NAME, "what they are overwritten with"),
        _column("site", _NAME, "pre: before the nonlinearity; post: input of the down-projection"),
        _column("layer", pa.int16(), "block, from 0"),
        _column("rate", pa.float64(), "share of neurons asked for, 0 to 1"),
        _column("k", pa.int32(), "floor(rate x neurons): neurons replaced (keep_top: kept)"),
        _column("effective_rate", pa.float64(), "k / neurons"),
        _outcome("delta_logit", pa.float32(), "logit of the target, clean - replaced"),
        _outcome("delta_logprob", pa.float32(), "log-probability of the target, clean - replaced, nats"),
        _outcome("kl", pa.float32(), "KL(clean || replaced) over the vocabulary, nats"),
        _outcome("top1_changed", pa.bool_(), "whether another token is now the most likely"),
    ]
)

PROMPTS = pa.schema(
    [
        _column("prompt_id", pa.int32(), "number of the prompt, in the order drawn"),
        _column("document_id", pa.int32(), "document of the prompt: the unit of inference"),
        _column("context", pa.string(), "the text that the model reads"),
        _column("context_ids", pa.list_(pa.int32()), "its tokens"),
        _column("target", pa.string(), "the token that follows"),
        _column("target_id", pa.int32(), "its number in the vocabulary"),
        _column("document_title", pa.string(), "title of the document, if it has one"),
        _column("kind", pa.string(), "category of the prompt, if the corpus names one"),
        _column("target_word", pa.string(), "the whole word, where the target is its first token"),
        _column("position", pa.int32(), "tokens of its document before the target"),
        _column("clean_logit", pa.float32(), "logit of the target in the unmodified model"),
        _column("clean_logprob", pa.float32(), "its log-probability, nats"),
        _column("clean_rank", pa.int32(), "its rank, 1 for the most likely token"),
        _column("clean_entropy", pa.float32(), "entropy of the prediction, nats"),
    ]
)

#: Columns of estimates.csv; ``layer`` is "all" for the mean over all blocks but the first.
ESTIMATES = (
    "quantity", "arm", "replacement", "site", "metric", "layer", "share", "method", "estimate", "std_error",
    "conf_low", "conf_high", "conf_level", "n_prompts", "n_documents", "note",
)  # fmt: skip

#: Columns of claims.csv; the null is said in words.
CLAIM_COLUMNS = (
    "claim", "layer", "null", "statistic", "df", "p_value", "p_adjusted", "adjustment", "estimate", "conf_low",
    "conf_high", "decision", "margin",
)  # fmt: skip
