"""Plots as SVG files, the same bytes for the same figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def panels(file: Path, rows: int, columns: int, inches: tuple[float, float], **options: Any) -> Iterator[Any]:
    """Yield rows x columns empty panels; what is drawn in them is the file's, which is written on exit."""
    from matplotlib import pyplot  # of the group `bench`: tables need it not

    pyplot.switch_backend("svg")
    with pyplot.rc_context({"svg.hashsalt": "clickproof"}):
        figure, drawn = pyplot.subplots(rows, columns, figsize=inches, squeeze=False, **options)
        yield drawn
        figure.tight_layout()
        figure.savefig(file, metadata={"Date": None})
        pyplot.close(figure)
