"""Types of the engine's arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]
Indices = NDArray[np.int32]
World = tuple[float, float]
"""Width and height of the world, px."""
