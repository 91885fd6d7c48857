"""What of a prompt goes with its plateau, slope and core: ``moderators.tex``."""

import sys

import pandas as pd
from from_run import FinishedRun, main, read_table, with_interval

from ripplestats.rendering.latex import escape
from ripplestats.rendering.numbers import p_value
from ripplestats.report.wording import covariates_in_words
from ripplestats.store.atomic import write_text


def write(finished: FinishedRun) -> None:
    """Write one row a covariate; of the levels of a kind only their joint test."""
    terms = read_table(finished.run.path / "moderators.csv")
    if "estimate" not in terms:
        write_text(
            finished.out / "moderators.tex", f"No moderators were estimated ({escape(terms['term'].iloc[0])}).\n"
        )
        return
    terms = terms[~terms["term"].str.contains("[", regex=False)]
    frame = pd.DataFrame(
        {
            "quantity: covariate": [covariates_in_words(term) for term in terms["term"]],
            "change": [with_interval(row) for _, row in terms.iterrows()],
            "p": [p_value(one) for one in terms["p_value"]],
            "adjusted": [p_value(one) for one in terms["p_adjusted"]],
        }
    )
    finished.table(
        "moderators",
        frame,
        "Moderators: what of a prompt goes with its effect.",
        "Change for one standard deviation of a covariate, all covariates together, 95 % t intervals with standard errors "
        "clustered by document; any: joint test of a kind's levels (which are in moderators.csv). Adjusted: Holm, within a "
        "quantity.",
    )


if __name__ == "__main__":
    sys.exit(main(write, __doc__))
