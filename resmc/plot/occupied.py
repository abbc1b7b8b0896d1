"""Where something is drawn within axes, in cells of some points, so that a legend can stand where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results.estimates import Floats


def drawn(ax: Any, cell: float) -> NDArray[np.bool_]:
    """Return where something is drawn, in cells of the axes from below."""
    frame = ax.get_window_extent()
    rows, columns = max(int(frame.height / cell), 1), max(int(frame.width / cell), 1)
    mask = np.zeros((rows, columns), bool)
    scale = np.array([columns / frame.width, rows / frame.height])

    def mark(points: Floats, radius: float = 0.0) -> None:
        points = (np.asarray(points, np.float64) - (frame.x0, frame.y0)) * scale
        points = points[np.isfinite(points).all(axis=1)]
        reach = int(np.ceil(radius / cell))
        near = (points > -reach - 1).all(axis=1) & (points < (columns + reach, rows + reach)).all(axis=1)
        at = np.floor(points[near]).astype(np.int64)
        for dx in range(-reach, reach + 1):
            for dy in range(-reach, reach + 1):
                x, y = at[:, 0] + dx, at[:, 1] + dy
                good = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
                mask[y[good], x[good]] = True

    def fill(path: Any) -> None:
        y, x = np.nonzero(~mask)
        centres = np.column_stack([x + 0.5, y + 0.5]) / scale + (frame.x0, frame.y0)
        inside = path.contains_points(centres)
        mask[y[inside], x[inside]] = True

    pixels = ax.figure.dpi / 72.0
    for line in ax.lines:
        path = line.get_transform().transform_path(line.get_path())
        if line.get_linestyle() not in ("None", "", " "):
            mark(_along(path.vertices, cell, frame))
        if line.get_marker() not in ("None", "", " ", None):
            mark(path.vertices, 0.5 * float(line.get_markersize()) * pixels)
    for collection in ax.collections:
        filled = bool(len(collection.get_facecolor()))
        for path in collection.get_paths():
            outline = collection.get_transform().transform_path(path)
            mark(_along(outline.vertices, cell, frame))
            if filled:
                fill(outline)
    for patch in ax.patches:
        outline = patch.get_transform().transform_path(patch.get_path())
        for part in outline.to_polygons(closed_only=False) or [outline.vertices]:
            mark(_along(part, cell, frame))
        if patch.get_fill():
            fill(outline)
    for text in ax.texts:
        box = text.get_window_extent()
        x, y = np.meshgrid(np.arange(box.x0, box.x1 + cell, cell), np.arange(box.y0, box.y1 + cell, cell))
        mark(np.column_stack([x.ravel(), y.ravel()]))
    return mask


def _along(vertices: Floats, cell: float, frame: Any) -> Floats:
    """Return points along a line, closer together than a cell, where it is in the axes."""
    vertices = np.asarray(vertices, np.float64)
    if len(vertices) < 2:
        return vertices
    low, high = np.array([frame.x0, frame.y0]) - 9.0 * cell, np.array([frame.x1, frame.y1]) + 9.0 * cell
    first, last = vertices[:-1], vertices[1:]
    good = np.isfinite(first).all(axis=1) & np.isfinite(last).all(axis=1)
    good &= (np.maximum(first, last) >= low).all(axis=1) & (np.minimum(first, last) <= high).all(axis=1)
    first, last = first[good], last[good]
    if not len(first):
        return vertices
    with np.errstate(divide="ignore", invalid="ignore"):  # cut what lies outside, which may be far longer
        step = last - first
        ends = np.stack([(low - first) / step, (high - first) / step])
    ends = np.where(np.isfinite(ends), ends, np.array([-np.inf, np.inf]).reshape(2, 1, 1))
    start = np.clip(ends.min(axis=0).max(axis=1), 0.0, 1.0)
    stop = np.clip(ends.max(axis=0).min(axis=1), 0.0, 1.0)
    length = np.hypot(*step.T) * np.maximum(stop - start, 0.0)
    count = np.ceil(2.0 * length / cell).astype(np.int64) + 1
    which = np.repeat(np.arange(len(first)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    at = start[which] + (stop - start)[which] * within / np.maximum(count[which] - 1, 1)
    return np.asarray(first[which] + at[:, None] * step[which])


def widened(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Return the mask with all cells marked that are at most ``by`` cells away."""
    out = mask.copy()
    for shift in range(1, by + 1):
        out[shift:] |= mask[:-shift]
        out[:-shift] |= mask[shift:]
    tall = out.copy()
    for shift in range(1, by + 1):
        out[:, shift:] |= tall[:, :-shift]
        out[:, :-shift] |= tall[:, shift:]
    return out
