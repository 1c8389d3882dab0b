"""Draws the pictures of the documentation from what they show: tables and imports. Plain SVG, by nothing but Python.

Owns where each box lies; which arrows there are, and what stands on them, the tables of rules and the source say.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import mockselector
from mockselector._judge.rules import LIFE, MEMBERSHIP

PACKAGE = Path(mockselector.__file__).parent

WIDTH, HEIGHT = 130, 36
"""Of a box."""


@dataclass(frozen=True)
class Box:
    """A box by its middle."""

    label: str
    x: float
    y: float
    width: float = WIDTH
    height: float = HEIGHT

    def drawn(self) -> str:
        corner = f'x="{self.x - self.width / 2:.0f}" y="{self.y - self.height / 2:.0f}"'
        return (
            f'<rect class="box" {corner} width="{self.width:.0f}" height="{self.height:.0f}" rx="6"/>'
            f'<text x="{self.x:.0f}" y="{self.y + 5:.0f}" text-anchor="middle">{escape(self.label)}</text>'
        )

    def edge_towards(self, x: float, y: float) -> tuple[float, float]:
        """Where a line from its middle to there leaves it."""
        dx, dy = x - self.x, y - self.y
        scale = min(
            (self.width / 2 + 3) / abs(dx) if dx else math.inf, (self.height / 2 + 3) / abs(dy) if dy else math.inf
        )
        return self.x + dx * scale, self.y + dy * scale


def arrow(start: Box, end: Box, *labels: str, bend: float = 0.0) -> str:
    """An arrow; bend: by how much its middle lies off the straight line, to the right of who goes along it."""
    dx, dy = end.x - start.x, end.y - start.y
    length = math.hypot(dx, dy) or 1.0
    mid_x, mid_y = (start.x + end.x) / 2 - dy / length * bend, (start.y + end.y) / 2 + dx / length * bend
    (x1, y1), (x2, y2) = start.edge_towards(mid_x, mid_y), end.edge_towards(mid_x, mid_y)
    line = f'<path class="arrow" d="M{x1:.0f} {y1:.0f} Q{mid_x:.0f} {mid_y:.0f} {x2:.0f} {y2:.0f}"/>'
    at_x, at_y = (x1 + 2 * mid_x + x2) / 4, (y1 + 2 * mid_y + y2) / 4 - 8 * (len(labels) - 1)
    return line + "".join(told(label, at_x, at_y + 16 * number) for number, label in enumerate(labels))


def told(label: str, x: float, y: float, anchor: str = "middle") -> str:
    """What stands on an arrow, or beside a box."""
    return f'<text class="label" x="{x:.0f}" y="{y + 5:.0f}" text-anchor="{anchor}">{escape(label)}</text>'


def picture(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    """The whole of it, as a block of HTML without an empty line; title: what it shows, for who cannot see it."""
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px"'
    tip = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return "".join(
        (
            f'<div class="drawing"><svg role="img" {size}><title>{escape(title)}</title>',
            f'<defs><marker id="tip" {tip}><path d="M0 0L8 4L0 8z"/></marker></defs>',
            *parts,
            "</svg></div>",
        )
    )


# -- the tables -------------------------------------------------------------------------------------

PLACES: Mapping[str, tuple[float, float]] = {
    "new": (100, 60), "bound": (100, 270), "refused": (390, 270), "listening": (200, 420),
    "connecting": (660, 270), "connected": (660, 60),
    "shut": (880, 160), "broken": (780, 360), "eof": (1100, 60), "shut-eof": (1100, 160), "reset": (1100, 360),
    "closed": (430, 440), "detached": (430, 490),
}  # fmt: skip
"""Where each phase of a socket's life is drawn."""

UNCONNECTED = "new", "bound", "refused"
"""Phases from which the same calls lead on: what does so from each is drawn once, from a frame around them."""

GONE = "closed", "detached"
"""Phases to which a call leads from all others."""

BENDS: Mapping[tuple[str, str], float] = {
    ("bound", "refused"): -24, ("refused", "bound"): -24, ("connecting", "new"): 60, ("listening", "bound"): -20,
    ("eof", "reset"): -110, ("connected", "reset"): 10, ("shut", "reset"): -20, ("broken", "eof"): 50,
}  # fmt: skip
"""Arrows that would lie on others if they were straight."""


def moves() -> dict[tuple[str, str], list[str]]:
    """From which phase to which other one there is a way, and by which operations."""
    found: dict[tuple[str, str], list[str]] = {}
    for phase, cells in LIFE.items():
        for operation, cell in cells.items():
            if isinstance(cell, str) and cell != phase:
                found.setdefault((phase, cell), []).append(operation)
    return found


def taken_out(ways: dict[tuple[str, str], list[str]], group: Sequence[str]) -> dict[str, list[str]]:
    """What leads from each phase of a group to the same one outside of it; it is no longer in `ways` then."""
    out: dict[str, list[str]] = {}
    for end in (phase for phase in PLACES if phase not in group):
        same = [
            one for one in ways.get((group[0], end), ()) if all(one in ways.get((phase, end), ()) for phase in group)
        ]
        if not same:
            continue
        out[end] = same
        for phase in group:
            left = [one for one in ways.pop((phase, end)) if one not in same]
            ways.update({(phase, end): left} if left else {})
    return out


def life() -> str:
    """The phases of a socket's life, with the calls that lead from one to another."""
    boxes = {phase: Box(phase, *place) for phase, place in PLACES.items()}
    ways = moves()
    gone = taken_out(ways, [phase for phase in PLACES if phase not in GONE])
    parts = ['<rect class="group" x="15" y="20" width="460" height="290" rx="10"/>']
    frame = Box("", 245, 165, 460, 290)
    parts += [arrow(frame, boxes[end], *operations) for end, operations in taken_out(ways, UNCONNECTED).items()]
    parts += [
        arrow(boxes[start], boxes[end], *operations, bend=BENDS.get((start, end), 0.0))
        for (start, end), operations in ways.items()
    ]
    for end, operations in gone.items():
        box = boxes[end]
        parts.append(told(f"by {', '.join(operations)}, from each of the others", box.x + 75, box.y, "start"))
    parts += [box.drawn() for box in boxes.values()]
    return picture("The phases of a socket's life, and which call leads from one to another", 1240, 520, parts)


def membership() -> str:
    """How a number comes into a selector's map, and out of it."""
    boxes = {state: Box(state, 110 + 330 * number, 60) for number, state in enumerate(MEMBERSHIP)}
    parts = [box.drawn() for box in boxes.values()]
    for state, cells in MEMBERSHIP.items():
        for operation, cell in cells.items():
            if isinstance(cell, str):
                parts.append(arrow(boxes[state], boxes[cell], operation, bend=-26))
    return picture("How a descriptor number is registered with a selector, and unregistered", 880, 120, parts)


# -- the imports ------------------------------------------------------------------------------------


def rooms() -> list[str]:
    """The folders and files of the package, as its map lists them: from the ground up."""
    lines = (PACKAGE / "__init__.py").read_text(encoding="utf-8").splitlines()
    first = [line.split()[1] for line in lines if line.startswith("#     ")]
    return [name for name in first if name.endswith((".py", "/"))]


def imports() -> dict[str, set[str]]:
    """By room, from which other ones its files import."""
    known = {room.removesuffix(".py").removesuffix("/"): room for room in rooms()}
    found: dict[str, set[str]] = {room: set() for room in known.values()}
    for path in PACKAGE.rglob("*.py"):
        inside = path.relative_to(PACKAGE).with_suffix("").parts
        if inside[0] not in known:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == len(inside):
                names = [node.module] if node.module else [alias.name for alias in node.names]
                found[known[inside[0]]] |= {known[name.partition(".")[0]] for name in names}
    return {room: others - {room} for room, others in found.items()}


def floors(above: Mapping[str, set[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest from which it imports."""
    found: dict[str, int] = {}
    for room in rooms():  # whatever a room imports stands before it in the map
        found[room] = 1 + max((found[other] for other in above[room]), default=-1)
    return found


def needed(ways: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same ways without those that follow from others: A to C, where there are A to B and B to C."""
    reached: dict[str, set[str]] = {}
    for room in rooms():
        reached[room] = ways[room].union(*(reached[other] for other in ways[room]))
    return {room: {one for one in to if not any(one in reached[other] for other in to)} for room, to in ways.items()}


def architecture() -> str:
    """The rooms of the package on their floors, with who imports from whom."""
    ways = imports()
    floor_of, lines = floors(ways), needed(ways)
    top = max(floor_of.values())
    width, step = 960.0, 74.0
    boxes: dict[str, Box] = {}
    for floor in range(top + 1):
        here = [room for room in rooms() if floor_of[room] == floor]
        # Above what it stands on, as far as that goes.
        here.sort(key=lambda room: sum(boxes[one].x for one in lines[room]) / (len(lines[room]) or 1))
        for number, room in enumerate(here):
            x = width * (number + 1) / (len(here) + 1)
            boxes[room] = Box(room, x, 30 + (top - floor) * step, 14 + 10.5 * len(room))
    parts = [
        arrow(boxes[room], boxes[other], bend=-40.0 * (floor_of[room] - floor_of[other] > 1))  # past what is between
        for room, others in lines.items()
        for other in sorted(others)
    ]
    parts += [box.drawn() for box in boxes.values()]
    return picture("The rooms of mockselector: each imports from those below it", width, 60 + top * step, parts)
