"""The noise of a video's pixels, measured without a model of what the video shows."""

from __future__ import annotations

import numpy as np

from phasemill.transport.video.bumps import Floats

GAIN = 6.0**1.5
"""Factor by which the second difference along three axes enlarges white noise."""


def pixel_noise(frames: Floats, floor: float = 0.0) -> float:
    """sigma of white noise: rms of the second difference along time, x and y at once, over its gain 6^(3/2).

    A smooth field leaves next to nothing in it. Where and when the field is rough it leaves more, so the median over
    the pixels of each frame is taken (times 1.4826, for normal noise), and then the median of the quieter half of the
    frames.

    Arguments:
        frames: (time, x, y).
        floor: least value, e.g. that of rounding.
    """
    rough = frames
    for axis in range(3):
        rough = np.diff(rough, 2, axis=axis)
    per_frame = np.sort(1.4826 * np.median(np.abs(rough), axis=(1, 2)) / GAIN)
    quiet = float(np.median(per_frame[: (len(per_frame) + 1) // 2]))
    resolution = 0.15 * np.finfo(np.float32).eps * float(np.abs(frames).max())
    return max(quiet, float(floor), float(resolution))
