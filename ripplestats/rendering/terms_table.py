"""Terms of an estimator → the columns that journals print: estimate, interval and p, long or wide."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ripplestats.errors import InputError
from ripplestats.rendering.latex import BLANK
from ripplestats.rendering.numbers import decimals_of, digits_beside, fixed, limits, p_value, percent, stars

LAYOUTS = ("long", "wide")
#: A table of more rows than this does not fit on a page.
LONGEST = 40


def terms_table(
    terms: pd.DataFrame, conf_level: float, *, layout: str, starred: bool, margin: "float | pd.Series" = np.nan
) -> pd.DataFrame:
    """Return a tidy table of terms as text, ready to be printed.

    Args:
        terms: columns of the group, then ``term, estimate, std_error, …, p_value, conf_low, conf_high, note``, and
            ``p_adjusted`` where p-values were adjusted.
        conf_level: of the intervals, NaN where there are none.
        layout: ``long``: a row an estimate, with standard error, interval, p-values and note, those columns left out
            that are empty (why one is undefined ``undefined_notes`` says); ``wide``: groups against terms, the fewer of them side by side, each estimate over its
            interval.
        starred: whether stars follow the estimates, by the adjusted p-value where there is one.
        margin: what decides on the intervals, of all terms or of each; limits can be told from it.

    Raises:
        InputError: the layout is unknown.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout={layout!r} is not known; allowed: {', '.join(LAYOUTS)}")
    names = list(terms.columns[: terms.columns.get_loc("term")])
    cells = _cells(terms, starred, margin)
    return _long(terms, names, cells, conf_level) if layout == "long" else _wide(terms, names, cells)


def stars_note(terms: pd.DataFrame) -> str:
    """Say what stars mean."""
    which = "adjusted p" if "p_adjusted" in terms else "p"
    return f"Stars: {which} below 0.05 (*), 0.01 (**), 0.001 (***)."


def undefined_notes(terms: pd.DataFrame) -> list[str]:
    """Say why terms are undefined, each reason once with the groups and terms that it is of."""
    rows = terms[terms["estimate"].isna() & (terms["note"].fillna("") != "")]
    names = list(terms.columns[: terms.columns.get_loc("term")])
    found = []
    for note, part in rows.groupby("note", sort=False):
        kinds = ", ".join(dict.fromkeys(part["term"].astype(str)))
        groups = ", ".join(
            dict.fromkeys(" ".join(map(str, key)) for key in part[names].itertuples(index=False, name=None))
        )
        of = f" of {' '.join(names)} {groups}" if names else ""
        found.append(f"{kinds}{of}: {note}.")
    return found


def _cells(terms: pd.DataFrame, starred: bool, margin: "float | pd.Series") -> pd.DataFrame:
    """Return estimates, standard errors and intervals as text.

    A term has the same number of digits in all groups, but for a row whose limits would print as the margin.
    """
    half = ((terms["conf_high"] - terms["conf_low"]) / 2).fillna(terms["std_error"])
    digits = half.where(half > 0).groupby(terms["term"]).transform("min").map(decimals_of)
    p = terms["p_adjusted" if "p_adjusted" in terms else "p_value"]
    marks = [stars(one) if starred else "" for one in p]
    columns = (terms[name] for name in ("estimate", "std_error", "conf_low", "conf_high"))
    rows = zip(*columns, _digits_beside(terms, margin, digits), marks, strict=True)
    return pd.DataFrame(
        [
            (fixed(value, number) + mark, fixed(error, number + 1), limits(low, high, number))
            for value, error, low, high, number, mark in rows
        ],
        columns=["estimate", "error", "interval"],
        index=terms.index,
    )


def _digits_beside(terms: pd.DataFrame, margin: "float | pd.Series", digits: pd.Series) -> list[int]:
    rows = zip(pd.Series(margin, terms.index), terms["conf_low"], terms["conf_high"], digits, strict=True)
    return [digits_beside(one, (low, high), number) for one, low, high, number in rows]


def _long(terms: pd.DataFrame, names: list[str], cells: pd.DataFrame, conf_level: float) -> pd.DataFrame:
    level = "interval" if np.isnan(conf_level) else f"{percent(conf_level)} interval"
    found = {
        **{name: terms[name] for name in (*names, "term")},
        "estimate": cells["estimate"],
        "std. error": cells["error"],
        level: cells["interval"],
        "statistic": [fixed(one, 2) for one in terms["statistic"]],
        "p": [p_value(one) for one in terms["p_value"]],
        "p, adjusted": [p_value(one) for one in terms["p_adjusted"]] if "p_adjusted" in terms else "",
        "note": terms["note"].where(terms["estimate"].notna(), ""),
    }
    frame = pd.DataFrame(found).fillna("").reset_index(drop=True)
    always = {*names, "term", "estimate"}
    return frame[[name for name in frame if name in always or (frame[name] != "").any()]]


def _wide(terms: pd.DataFrame, names: list[str], cells: pd.DataFrame) -> pd.DataFrame:
    groups = [" ".join(map(str, key)) for key in terms[names].itertuples(index=False, name=None)]
    kinds, levels = list(dict.fromkeys(terms["term"])), list(dict.fromkeys(groups))
    cells = cells.set_axis(pd.MultiIndex.from_arrays([groups, terms["term"]]))
    estimates, intervals = (cells[name].unstack().loc[levels, kinds].fillna("") for name in ("estimate", "interval"))
    head = " ".join(names)
    if len(levels) <= len(kinds):
        estimates, intervals, head = estimates.T, intervals.T, "term"
    rows = [row for name in estimates.index for row in _stacked(str(name), estimates.loc[name], intervals.loc[name])]
    return pd.DataFrame(rows, columns=[head, *(name or "estimate" for name in estimates.columns)])


def _stacked(name: str, estimates: Sequence[str], intervals: Sequence[str]) -> Iterator[list[str]]:
    """Yield a row of estimates, and below it their intervals, where there are any."""
    yield [name, *estimates]
    if any(intervals):
        yield [BLANK, *(one or BLANK for one in intervals)]
