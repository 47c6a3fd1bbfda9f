"""Draws time against size as SVG: log-log panels side by side, one line per series, no dependency."""

from __future__ import annotations

import dataclasses
import html
import math

PANEL_WIDTH, HEIGHT = 430, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 28, 40, 150
# Distinguishable without red and green, and by marker and dash too.
COLOURS = ("#b2182b", "#ef8a62", "#2166ac", "#4393c3")
DASHES = ("", "6 4", "", "6 4")
TEXT, GRID = "#222222", "#dddddd"


@dataclasses.dataclass
class Series:
    """A line: `points` are (size, seconds), with a text for the size in `Panel.ticks`."""

    label: str
    points: list[tuple[float, float]]


@dataclasses.dataclass
class Panel:
    """One diagram; `ticks` are texts by size."""

    title: str
    x_label: str
    ticks: dict[float, str]
    series: list[Series]


def svg(panels: list[Panel]) -> str:
    """All panels with one common scale of seconds."""
    seconds = [y for panel in panels for series in panel.series for _, y in series.points]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    width = PANEL_WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="{TEXT}">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate({number * PANEL_WIDTH} 0)">')
        parts += Drawing(panel, low, high).parts()
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


class Drawing:
    """A panel in its own coordinates."""

    def __init__(self, panel: Panel, low: int, high: int):
        self.panel, self.low, self.high = panel, low, high
        sizes = [math.log10(size) for size in panel.ticks]
        self.first, self.last = min(sizes) - 0.12, max(sizes) + 0.12

    def x(self, size: float) -> float:
        share = (math.log10(size) - self.first) / (self.last - self.first)
        return round(LEFT + share * (PANEL_WIDTH - LEFT - RIGHT), 1)

    def y(self, seconds: float) -> float:
        share = (math.log10(seconds) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def parts(self) -> list[str]:
        return [*self.axes(), *(part for at in range(len(self.panel.series)) for part in self.line(at))]

    def axes(self) -> list[str]:
        right, floor = PANEL_WIDTH - RIGHT, HEIGHT - BOTTOM
        centre = (LEFT + right) / 2
        parts = [label(centre, 24, self.panel.title, "middle", bold=True)]
        for decade in range(self.low, self.high + 1):
            y = self.y(10.0**decade)
            parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="{GRID}"/>')
            parts.append(label(LEFT - 8, y + 4, seconds_text(decade), "end"))
        for size, text in self.panel.ticks.items():
            x = self.x(size)
            parts.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{floor}" stroke="{GRID}"/>')
            parts.append(label(x, floor + 18, text, "middle"))
        parts.append(
            f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{floor - TOP}" fill="none" stroke="{TEXT}"/>'
        )
        parts.append(label(centre, floor + 40, self.panel.x_label, "middle"))
        middle = (TOP + floor) / 2
        parts.append(
            f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">CPU time (log)</text>'
        )
        return parts

    def line(self, at: int) -> list[str]:
        series, colour = self.panel.series[at], COLOURS[at % len(COLOURS)]
        dash = f' stroke-dasharray="{DASHES[at]}"' if DASHES[at % len(DASHES)] else ""
        stroke = f'stroke="{colour}" stroke-width="2" fill="none"{dash}'
        points = [(self.x(size), self.y(seconds)) for size, seconds in sorted(series.points)]
        parts = [f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" {stroke}/>']
        parts += [marker(x, y, at, colour) for x, y in points]
        y = HEIGHT - BOTTOM + 62 + 20 * at
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + 32}" y2="{y}" {stroke}/>')
        parts.append(marker(LEFT + 16, y, at, colour))
        parts.append(label(LEFT + 40, y + 4, series.label, "start"))
        return parts


def marker(x: float, y: float, at: int, colour: str) -> str:
    if at % 2:
        return f'<rect x="{x - 3.5}" y="{y - 3.5}" width="7" height="7" fill="{colour}"/>'
    return f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'


def label(x: float, y: float, text: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{weight}>{html.escape(text)}</text>'


def seconds_text(decade: int) -> str:
    """10 to that power, as seconds."""
    for power, unit in ((0, "s"), (-3, "ms"), (-6, "µs")):
        if decade >= power:
            return f"{10 ** (decade - power)} {unit}"
    return f"{10 ** (decade + 9)} ns"
