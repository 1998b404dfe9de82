"""The painter's palette: which pigment mixture answers which colour of nature.

One fixed, smooth map of RGB to RGB, the same for all pictures. It is written as pairs of a seen and a painted colour;
between the pairs the difference is interpolated by inverse distances (Shepard 1968). The pairs follow what the
Impressionists did: shadows turn blue and violet instead of black, sunlit greens go to yellow, skies to turquoise,
greys to lilac and rose, whites to cream, browns to madder.
"""

from __future__ import annotations

import numpy as np

from cyclestyle.data.scenes.climate import Colour
from cyclestyle.data.scenes.curves import Field

_PAIRS: tuple[tuple[Colour, Colour], ...] = (
    # neutrals: indigo, ultramarine grey, violet, rose, cream
    ((0.05, 0.05, 0.05), (0.14, 0.12, 0.35)),
    ((0.25, 0.25, 0.26), (0.31, 0.31, 0.57)),
    ((0.48, 0.49, 0.50), (0.60, 0.52, 0.76)),
    ((0.70, 0.71, 0.72), (0.89, 0.71, 0.76)),
    ((0.92, 0.92, 0.92), (1.00, 0.92, 0.66)),
    # greens: blue-green shadow, then towards yellow
    ((0.12, 0.18, 0.09), (0.07, 0.31, 0.38)),
    ((0.30, 0.40, 0.16), (0.45, 0.64, 0.13)),
    ((0.50, 0.60, 0.26), (0.79, 0.84, 0.21)),
    ((0.46, 0.44, 0.20), (0.75, 0.60, 0.13)),
    ((0.33, 0.37, 0.31), (0.29, 0.48, 0.52)),
    ((0.47, 0.51, 0.41), (0.67, 0.70, 0.42)),
    # blues: cobalt, turquoise, lavender
    ((0.16, 0.24, 0.42), (0.11, 0.31, 0.62)),
    ((0.34, 0.50, 0.75), (0.16, 0.67, 0.82)),
    ((0.62, 0.74, 0.86), (0.50, 0.90, 0.87)),
    ((0.62, 0.66, 0.74), (0.69, 0.69, 0.96)),
    # warm colours: madder, vermilion, rose, lemon
    ((0.28, 0.19, 0.12), (0.46, 0.15, 0.34)),
    ((0.50, 0.38, 0.26), (0.78, 0.43, 0.38)),
    ((0.72, 0.55, 0.30), (0.98, 0.70, 0.20)),
    ((0.84, 0.46, 0.28), (1.00, 0.48, 0.44)),
    ((0.92, 0.74, 0.52), (1.00, 0.69, 0.50)),
    ((0.82, 0.77, 0.74), (0.99, 0.73, 0.69)),
    ((0.40, 0.28, 0.40), (0.54, 0.30, 0.63)),
)
# Averaging over pairs weakens each of them; this gives the strength back.
_STRENGTH = 1.16
_REACH = 0.022  # squared distance in RGB within which a pair rules alone


def painted(seen: Field) -> Field:
    """Map display colours as seen, (3, ...), to the colours they are painted with, about 0 to 1."""
    total = np.zeros(seen.shape[1:])
    shift = np.zeros(seen.shape)
    for source, target in _PAIRS:
        red, green, blue = seen[0] - source[0], seen[1] - source[1], seen[2] - source[2]
        # Hue and depth both count; the eye is least exact in blue.
        near = 1.0 / (red * red + green * green + 0.8 * (blue * blue) + _REACH)
        near = near * near
        total += near
        for channel in range(3):
            shift[channel] += near * (target[channel] - source[channel])
    return seen + shift * (_STRENGTH / total)
