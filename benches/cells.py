"""Tables in Markdown, and what stands in their cells."""

from __future__ import annotations

import math
import statistics


def table(heads: tuple, rows) -> str:
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(out + ["| " + " | ".join(row) + " |" for row in rows])


def percentile(values: list[float], share: float = 0.95) -> float:
    """The smallest value that so many of the values do not exceed; infinite without values."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else math.inf


def spread(values: list[float]) -> str:
    if not values:
        return "–"
    median = seconds(statistics.median(values))
    return f"{median} ({seconds(percentile(values))})" if len(values) > 1 else median


def percents(values: list[float]) -> str:
    if not values:
        return "–"
    median = f"{statistics.median(values):.2f}"
    return f"{median} ({percentile(values):.2f}) %" if len(values) > 1 else f"{median} %"


def seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError


def shown(size: str) -> str:
    return size.replace("x", "×")
