"""Write the page's static files that are made from something else: ``python -m tests.page.make_static``.

``ziggurat.js`` has the tables of NumPy's normal numbers, found by asking NumPy. The first word that a draw
takes chooses a layer and a place in it. The state of PCG64 is set so that this word is a given one; whether
the draw takes another, and what it returns, tells the tables. ``palettes.js`` has the view's colour maps.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np

from chronoflux.render.palettes import PALETTES

MODULUS = 1 << 128
INVERSE = pow(0x2360ED051FC65DA44385DF649FCCF645, -1, MODULUS)
STATIC = Path(__file__).parents[2] / "chronoflux/page/static"

ZIGGURAT = """/**
 * The tables of NumPy's ziggurat for normal numbers, written by tests/page/make_static.py.
 *
 * A draw of 52 bits in a layer is multiplied by the layer's `width`; below `inner` it is taken at once.
 */

const width = [
  {width},
];
const inner = [
  {inner},
];

export const ZIGGURAT = {{
  width: Float64Array.from(width),
  inner: Float64Array.from(inner),
  /** The density at the layers' edges, 1 at the middle. */
  height: Float64Array.from(width, (w, i) => (i ? Math.exp(-0.5 * (w * 2 ** 52) ** 2) : 1)),
  /** Where the tail begins, and its inverse. */
  edge: 3.654152885361009,
  inverse: 0.27366123732975828,
}};
"""


PALETTE_FILE = """/**
 * Colour maps of phases and pressures, written by tests/page/make_static.py from the package's.
 */

/** @param {{string}} text base64 */
function bytes(text) {{
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}}

/** @type {{Record<string, import("./view.js").Palette>}} maps of 256 colours: red, green, blue */
export const PALETTES = {{
{entries}
}};
"""


def tables() -> tuple[list[float], list[int]]:
    """Widths and inner places of the 256 layers."""
    bits = np.random.PCG64(0)
    generator, state = np.random.Generator(bits), bits.state
    increment = state["state"]["inc"]

    def draw(layer: int, part: int) -> tuple[float, bool]:
        """The normal number of this layer and place, and whether it took one word only."""
        word = part << 9 | layer
        state["state"]["state"] = (word - increment) * INVERSE % MODULUS
        bits.state = state
        return generator.standard_normal(), bits.state["state"]["state"] == word

    inner = []
    for layer in range(256):
        low, high = 0, 1 << 52
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if draw(layer, middle)[1] else (low, middle)
        inner.append(low)
    return [draw(layer, 1)[0] for layer in range(256)], inner


def ziggurat() -> str:
    """The text of ``ziggurat.js``."""
    width, inner = tables()
    return ZIGGURAT.format(
        width=",\n  ".join(", ".join(map(repr, width[i : i + 4])) for i in range(0, 256, 4)),
        inner=",\n  ".join(", ".join(map(str, inner[i : i + 5])) for i in range(0, 256, 5)),
    )


def palettes() -> str:
    """The text of ``palettes.js``: the live view's palettes, each map as base64 of its bytes."""
    entries = []
    for name, palette in PALETTES.items():
        maps = {part: getattr(palette, part) for part in ("phases", "field", "portal")}
        lines = [
            f'    {part}: bytes("{base64.b64encode(map_.tobytes()).decode()}"),'
            for part, map_ in maps.items()
        ]
        entries.append(
            "\n".join([f"  {name}: {{", f"    label: {json.dumps(palette.label)},", *lines, "  },"])
        )
    return PALETTE_FILE.format(entries="\n".join(entries))


FILES = {"ziggurat.js": ziggurat, "palettes.js": palettes}

if __name__ == "__main__":
    for name, text in FILES.items():
        (STATIC / name).write_text(text())
