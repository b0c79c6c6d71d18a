"""Interactive plots as Plotly describes them: plain mappings, which `plots.js` hands to the library that lies beside.

Colours are Okabe and Ito's, which people with colour-blindness can tell apart; what they tell apart, shapes or dashes
tell as well. Text and lines of axes take the page's own colours, by its style sheet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")
DASHES = ("solid", "dash", "dot", "dashdot")
ROW = 26  # pixels of a row of intervals
MARGIN = 96  # pixels of axes and legend
LEGEND = 12  # pixels of a line's name above curves

Trace = dict[str, Any]
Estimate = tuple[str, float | None, float | None, float | None]  # name of the row, value, low, high


@dataclass(frozen=True)
class Plot:
    """A plot and its words.

    name: of its place in the page.
    title: above it.
    alt: what it shows, for who does not see it.
    note: below it.
    pictured: whether pointing at a point shows its image: then `customdata` holds [address, text] of each point.
    """

    name: str
    title: str
    alt: str
    note: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any]
    pictured: bool = False

    @property
    def spec(self) -> dict[str, Any]:
        """What Plotly draws."""
        base = {
            "autosize": True,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 13, "family": "system-ui, sans-serif"},
            "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "dragmode": False,
        }
        return {"data": list(self.traces), "layout": base | dict(self.layout)}


def intervals(
    name: str,
    title: str,
    series: Mapping[str, Sequence[Estimate]],
    *,
    axis: str,
    note: str = "",
    zero: bool = False,
) -> Plot:
    """Draw estimates with their intervals, a row each; several series stand side by side within a row.

    Args:
        name: of the plot.
        title: above it.
        series: rows by name of the series; a row without a value is left out.
        axis: what the values are.
        note: below it.
        zero: draw where nothing is gained.

    """
    rows = list(dict.fromkeys(row[0] for estimates in series.values() for row in estimates))
    step = 0.8 / max(len(series), 1)
    traces, told = [], []
    for i, (label, estimates) in enumerate(series.items()):
        known = [(n, v, low, high) for n, v, low, high in estimates if None not in {v, low, high}]
        values = [(n, float(v or 0), float(low or 0), float(high or 0)) for n, v, low, high in known]
        text = [f"{n}, {label}: {v:.3f} ({low:.3f} to {high:.3f})" for n, v, low, high in values]
        told += text
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": [v for _, v, _, _ in values],
                "y": [rows.index(n) + (i - (len(series) - 1) / 2) * step for n, _, _, _ in values],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [high - v for _, v, _, high in values],
                    "arrayminus": [v - low for _, v, low, _ in values],
                    "color": COLOURS[i % len(COLOURS)],
                    "thickness": 2,
                    "width": 5,
                },
                "marker": {"color": COLOURS[i % len(COLOURS)], "symbol": SYMBOLS[i % len(SYMBOLS)], "size": 9},
                "text": text,
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout: dict[str, Any] = {
        "height": MARGIN + round(ROW * len(rows) * max(1, 0.7 * len(series))),
        "xaxis": {
            "title": {"text": axis},
            "automargin": True,
            "zeroline": zero,
            "zerolinewidth": 2,
            "fixedrange": True,
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "range": [len(rows) - 0.4, -0.6],
            "automargin": True,
            "zeroline": False,
            "fixedrange": True,
        },
        "showlegend": len(series) > 1,
    }
    return Plot(name, title, f"{title}: {'; '.join(told)}", note, traces, layout)


def curves(
    name: str,
    title: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    axes: tuple[str, str],
    note: str = "",
    diagonal: bool = False,
    markers: bool = False,
) -> Plot:
    """Draw lines over 0 to 1.

    Args:
        name: of the plot.
        title: above it.
        lines: x and y by name.
        axes: what x and y are.
        note: below it.
        diagonal: draw y = x, for comparison.
        markers: show the points.

    """
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines+markers" if markers else "lines",
            "name": label,
            "x": list(x),
            "y": list(y),
            "line": {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i % len(DASHES)], "width": 2},
            "hovertemplate": f"{label}<br>{axes[0]} %{{x:.3f}}<br>{axes[1]} %{{y:.3f}}<extra></extra>",
        }
        for i, (label, (x, y)) in enumerate(lines.items())
    ]
    if diagonal:
        line = {"color": COLOURS[-1], "dash": "dot", "width": 1}
        ends = {"x": [0, 1], "y": [0, 1], "line": line, "showlegend": False, "hoverinfo": "skip"}
        traces.insert(0, {"type": "scatter", "mode": "lines", **ends})
    layout = {
        "height": 400 + LEGEND * len(lines),
        "xaxis": {"title": {"text": axes[0]}, "range": [0, 1], "automargin": True, "zeroline": False},
        "yaxis": {"title": {"text": axes[1]}, "range": [0, 1.02], "automargin": True, "zeroline": False},
        "showlegend": len(lines) > 1,
    }
    return Plot(name, title, f"{title}: {axes[1]} over {axes[0]}; {', '.join(lines)}", note, traces, layout)


def points(
    name: str,
    title: str,
    series: Mapping[str, Mapping[str, Sequence[Any]]],
    *,
    axes: tuple[str, str],
    alt: str,
    note: str = "",
    ticks: bool = True,
    line: bool = False,
) -> Plot:
    """Draw points that show their image when pointed at.

    Args:
        name: of the plot.
        title: above it.
        series: by name: x, y, `picture` (addresses) and `text`.
        axes: what x and y are.
        alt: what it shows, in words.
        note: below it.
        ticks: whether the axes have numbers.
        line: join the points.

    """
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if line else "markers",
            "name": f"{label} ({len(of['x']):,})",
            "x": list(of["x"]),
            "y": list(of["y"]),
            "customdata": list(zip(of["picture"], of["text"], strict=True)),
            "text": list(of["text"]),
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "color": COLOURS[i % len(COLOURS)],
                "symbol": SYMBOLS[i % len(SYMBOLS)],
                "size": 8,
                "opacity": 0.85,
            },
            "line": {"color": COLOURS[i % len(COLOURS)], "width": 1},
        }
        for i, (label, of) in enumerate(series.items())
        if len(of["x"])
    ]
    axis = {"automargin": True, "zeroline": False, "showticklabels": ticks}
    layout = {
        "height": 440,
        "xaxis": axis | {"title": {"text": axes[0]}},
        "yaxis": axis | {"title": {"text": axes[1]}},
        "dragmode": "zoom",
        "showlegend": len(traces) > 1,
    }
    return Plot(name, title, alt, note, traces, layout, pictured=True)


def flow(name: str, title: str, links: Sequence[tuple[str, str, int, bool]], *, note: str = "") -> Plot:
    """Draw a flow of images (a Sankey diagram).

    Args:
        name: of the plot.
        title: above it.
        links: from, to, how many, and whether they stay in.
        note: below it.

    """
    there = [link for link in links if link[2] > 0]
    nodes = list(dict.fromkeys(node for link in there for node in link[:2]))
    into = {b: count for _, b, count, _ in there}
    out: dict[str, int] = {}
    for a, _, count, _ in there:
        out[a] = out.get(a, 0) + count
    stays = {b: stay for _, b, _, stay in there}
    labels = [f"{node}: {into.get(node, out.get(node, 0)):,}" for node in nodes]
    colour = {True: COLOURS[0], False: COLOURS[1]}
    tint = {True: "rgba(0,114,178,0.28)", False: "rgba(213,94,0,0.28)"}
    trace = {
        "type": "sankey",
        "arrangement": "snap",
        "node": {
            "label": labels,
            "color": [colour[stays.get(node, True)] for node in nodes],
            "pad": 16,
            "thickness": 14,
            "line": {"width": 0},
            "hovertemplate": "%{label}<extra></extra>",
        },
        "link": {
            "source": [nodes.index(a) for a, _, _, _ in there],
            "target": [nodes.index(b) for _, b, _, _ in there],
            "value": [count for _, _, count, _ in there],
            "color": [tint[stay] for _, _, _, stay in there],
            "hovertemplate": "%{source.label} → %{target.label}: %{value:,}<extra></extra>",
        },
    }
    alt = "; ".join(f"{a} to {b} {count}" for a, b, count, _ in there)
    return Plot(name, title, f"{title}: {alt}", note, [trace], {"height": 380})
