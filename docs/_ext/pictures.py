"""Pictures of the documentation, from real simulations: ``python docs/_ext/pictures.py`` (``make pictures``).

Moving pictures of every preset, of which README shows one, and what each parameter does. Same seed, same
picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

import chronoflux as cf
from chronoflux.render.static_image import static_image

FOLDER = Path(__file__).parents[1] / "pictures"
SEED = 3
WARM_UP = 15.0
"""Simulated seconds before the first frame."""
FRAMES, TICKS, SCALE, COLOURS = 36, 6, 0.4, 48
BASE = cf.Params(oscillators=300, kappa=1.0)
LIVELY = {"gamma": 12.0, "eta": 0.12}
COMPARED: Mapping[str, tuple[list[Any], dict[str, Any]]] = {
    "oscillators": ([60, 220, 800], {}),
    "neighbours": ([2, 8, 18], {}),
    "kappa": ([0.0, 0.7, 2.0], {}),
    "eta": ([0.02, 0.18, 1.0], {"gamma": 12.0}),
    "gamma": ([0.55, 6.0, 20.0], {"eta": 0.12}),
    "frequency_spread": ([0.0, 0.05, 0.2], {}),
    "frequency_distribution": (["normal", "uniform", "lorentz"], {"frequency_spread": 0.05}),
    "phase_lag": ([0.0, 0.9, 1.5], {"kappa": 2.0}),
    "noise": ([0.0, 0.25, 1.0], {}),
    "coupling": (["knn", "global"], {"frequency_spread": 0.05}),
    "boundary": (["torus", "plane"], LIVELY),
}
"""Parameters of which a single swarm shows the effect: values, and what else differs from `BASE`."""


def moving(name: str) -> None:
    """A moving picture of a preset."""
    sim = cf.Simulation(cf.presets[name], seed=SEED)
    sim.advance(round(WARM_UP / sim.params.dt))
    frames = []
    for _ in range(FRAMES):
        sim.advance(TICKS)
        frames.append(static_image(sim.snapshot(), scale=SCALE))
    palette = frames[0].quantize(COLOURS, dither=Image.Dither.NONE)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(
        FOLDER / f"{name}.gif", save_all=True, append_images=small[1:], duration=100, loop=0, optimize=True
    )


def compared(name: str, values: list[Any], more: dict[str, Any]) -> None:
    """Swarms that differ in one parameter, side by side, with their order."""
    parts = []
    for value in values:
        sim = cf.Simulation(BASE.replace(**{**more, name: value}), seed=SEED)
        sim.advance(round(WARM_UP / sim.params.dt))
        picture = static_image(sim.snapshot(), scale=0.35)
        shown = Image.new("RGB", (picture.width, picture.height + 20), "white")
        shown.paste(picture, (0, 20))
        text = f"{name} = {value}    H = {sim.metrics()['H']:.2f}"
        ImageDraw.Draw(shown).text((2, 3), text, fill="black", font=ImageFont.load_default(13))
        parts.append(shown)
    width = sum(part.width for part in parts) + 6 * (len(parts) - 1)
    whole = Image.new("RGB", (width, parts[0].height), "white")
    for number, part in enumerate(parts):
        whole.paste(part, (number * (parts[0].width + 6), 0))
    target = FOLDER / "parameters" / f"{name}.png"
    whole.quantize(96, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Make them all."""
    (FOLDER / "parameters").mkdir(parents=True, exist_ok=True)
    for name in cf.presets:
        moving(name)
    for name, (values, more) in COMPARED.items():
        compared(name, values, more)


if __name__ == "__main__":
    main()
