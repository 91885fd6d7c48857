"""The page's charts as Vega-Lite specifications; rows and colours are put in by its script.

Colours of text and lines are those of the style sheet, so that a chart follows light, dark and print by itself.
"""

from typing import Any

Spec = dict[str, Any]

_HEIGHT = 300
_TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
#: For an axis that may span little; labels that would overlap are left out.
_FINE_TICKS = [0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100]
_ZERO: Spec = {
    "data": {"values": [{}]},
    "mark": {"type": "rule", "color": "var(--line)", "aria": False},
    "encoding": {"y": {"datum": 0}},
}


def chart_specs(effect: str, unit: str) -> dict[str, Spec]:
    """Return the specifications by name.

    Args:
        effect, unit: what the effect is, and its unit, for the axes.
    """
    return {
        "map": _map(effect),
        "distribution": _distribution(effect),
        "doses": _doses(effect),
        "thresholds": _thresholds(),
        "sufficiency": _sufficiency(),
        "residuals": _residuals(unit),
        "influence": _influence(),
    }


def _chart(description: str, layers: list[Spec], height: int = _HEIGHT) -> Spec:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "width": "container",
        "height": height,
        "layer": layers,
    }


def _rate(title: str = "neurons replaced (%)") -> Spec:
    axis = {"title": title, "values": _TICKS, "format": "~g", "grid": False}
    return {"field": "rate", "type": "quantitative", "scale": {"type": "log", "nice": False}, "axis": axis}


def _effect(title: str, field: str = "effect") -> Spec:
    return {"field": field, "type": "quantitative", "axis": {"title": title, "format": "~g"}}


def _series() -> Spec:
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": [], "range": []},
        "legend": {"title": None, "symbolOpacity": 1},
    }


def _map(effect: str) -> Spec:
    x = {
        "field": "rate",
        "type": "ordinal",
        "axis": {"title": "neurons replaced (%)", "labelAngle": 0, "format": ".2~r"},
    }
    y = {"field": "layer", "type": "ordinal", "sort": "descending", "axis": {"title": "block"}}
    colour = {
        "field": "effect",
        "type": "quantitative",
        "scale": {"type": "symlog", "constant": 1, "domain": [-1, 0, 1], "range": [], "interpolate": "lab"},
        "legend": {"title": effect, "format": "~g", "orient": "top", "gradientLength": 220},
    }
    fields = {
        "data": {"name": "fields"},
        "mark": {"type": "rect", "aria": False, "cursor": "pointer"},
        "encoding": {"x": x, "y": y, "color": colour},
    }
    mark = {"type": "rect", "filled": False, "strokeWidth": 2.5, "stroke": "var(--text)", "aria": False}
    chosen = {"data": {"name": "chosen"}, "mark": mark, "encoding": {"x": x, "y": y}}
    return _chart("Map of the mean effect by block and rate", [fields, chosen])


def _distribution(effect: str) -> Spec:
    bars = {
        "data": {"name": "bars"},
        "mark": {"type": "bar", "color": "var(--accent)", "opacity": 0.75, "binSpacing": 1, "aria": False},
        "encoding": {
            "x": {**_effect(effect, "from"), "bin": "binned", "axis": {"title": effect, "format": "~g", "tickCount": 6, "grid": False}},
            "x2": {"field": "to"},
            "y": {"field": "prompts", "type": "quantitative", "axis": {"title": "prompts", "tickMinStep": 1, "tickCount": 4}},
        },
    }  # fmt: skip
    marks = {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "strokeWidth": 1.5, "aria": False},
        "encoding": {
            "x": {"field": "at", "type": "quantitative"},
            "color": {
                "field": "what", "type": "nominal", "legend": {"title": None},
                "scale": {"domain": ["median", "mean"], "range": ["var(--text)", "var(--arm-1)"]},
            },
            "strokeDash": {"field": "what", "type": "nominal", "scale": {"domain": ["median", "mean"], "range": [[1, 0], [5, 3]]}},
        },
    }  # fmt: skip
    return _chart("Distribution over prompts", [bars, marks], 190)


def _doses(effect: str) -> Spec:
    data = {"name": "points"}
    y = {**_effect(effect), "scale": {"zero": False}}
    band = {
        "data": data,
        "mark": {"type": "area", "opacity": 0.16, "aria": False},
        "encoding": {"x": _rate(), "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": _series()},
    }
    line = {
        "data": data,
        "mark": {"type": "line", "strokeWidth": 1.8, "point": {"size": 22, "aria": False}, "aria": False},
        "encoding": {"x": _rate(), "y": y, "color": _series()},
    }
    breaks = {
        "data": {"name": "thresholds"},
        "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 1.2, "aria": False},
        "encoding": {"x": _rate(), "color": _series()},
    }
    return _chart("Dose–response curves", [_ZERO, band, breaks, line])


def _thresholds() -> Spec:
    data = {"name": "blocks"}
    block = {
        "field": "layer",
        "type": "quantitative",
        "axis": {"title": "block", "grid": False, "tickMinStep": 1},
        "scale": {"nice": False, "padding": 8},
    }
    axis = {"title": "threshold (% of neurons)", "values": _FINE_TICKS, "format": "~g"}
    percent = {"type": "quantitative", "scale": {"type": "log", "nice": False, "padding": 6}, "axis": axis}
    overall = {
        "data": {"name": "overall"},
        "mark": {"type": "rect", "opacity": 0.16, "color": "var(--arm-1)", "aria": False},
        "encoding": {"y": {**percent, "field": "low"}, "y2": {"field": "high"}},
    }
    mean = {
        "data": {"name": "overall"},
        "mark": {"type": "rule", "color": "var(--arm-1)", "strokeWidth": 1.5, "aria": False},
        "encoding": {"y": {**percent, "field": "estimate"}},
    }
    interval = {
        "data": data,
        "mark": {"type": "rule", "color": "var(--arm-0)", "strokeWidth": 3, "opacity": 0.4, "aria": False},
        "encoding": {"x": block, "y": {**percent, "field": "low"}, "y2": {"field": "high"}},
    }
    point = {
        "data": data,
        "mark": {"type": "point", "filled": True, "size": 42, "color": "var(--arm-0)", "opacity": 1, "aria": False},
        "encoding": {"x": block, "y": {**percent, "field": "estimate"}},
    }
    undefined = {
        "data": {"name": "undefined"},
        "mark": {"type": "text", "text": "×", "color": "var(--muted)", "fontSize": 14, "yOffset": -8, "aria": False},
        "encoding": {"x": block, "y": {"value": "height"}},
    }
    return _chart("Threshold by block", [overall, mean, interval, point, undefined])  # fmt: skip


def _sufficiency() -> Spec:
    line = {
        "data": {"name": "points"},
        "mark": {"type": "line", "strokeWidth": 1.8, "point": {"size": 22, "aria": False}, "aria": False},
        "encoding": {
            "x": _rate("share of the neurons (%)"),
            "y": {"field": "share", "type": "quantitative", "axis": {"title": "share of the whole effect (%)"}},
            "color": _series(),
        },
    }
    return _chart("Sufficiency against necessity", [_ZERO, line])


def _residuals(unit: str) -> Spec:
    data = {"name": "points"}
    bar = {
        "data": data,
        "mark": {"type": "rule", "color": "var(--arm-0)", "aria": False},
        "encoding": {"x": _rate(), "y": _effect(f"residual ({unit})", "low"), "y2": {"field": "high"}},
    }
    point = {
        "data": data,
        "mark": {"type": "point", "filled": True, "color": "var(--arm-0)", "size": 36, "opacity": 1, "aria": False},
        "encoding": {"x": _rate(), "y": _effect(f"residual ({unit})", "residual")},
    }
    return _chart("Residuals of the two-phase line", [_ZERO, bar, point], 240)


def _influence() -> Spec:
    point = {
        "data": {"name": "documents"},
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.9, "aria": False},
        "encoding": {
            "x": {"field": "shift", "type": "quantitative", "axis": {"title": "shift (standard errors)", "format": "~g", "tickCount": 6}},
            "y": {"field": "document", "type": "nominal", "sort": None, "axis": {"title": None, "labelLimit": 220, "grid": True}},
            "color": {**_series(), "field": "quantity"},
            "shape": {"field": "quantity", "type": "nominal", "legend": {"title": None}},
        },
    }  # fmt: skip
    zero = {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": "var(--line)", "aria": False},
        "encoding": {"x": {"datum": 0}},
    }
    return _chart("Influence of single documents", [zero, point])
