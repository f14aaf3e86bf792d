"""Images as a model wants them: channels, size and scale, from the folder's own files.

Knows arrays and tensors; neither models nor tasks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from channels.units import shown
from wfl_sim.errors import MissingResource

PROCESSOR = "preprocessor_config.json"
BICUBIC = 3  # as image processors number it
LUMA = (0.299, 0.587, 0.114)  # grey of red, green and blue: ITU-R BT.601


@dataclass(frozen=True)
class Picture:
    """How bytes become pixels: (byte * scale - mean) / deviation, of so many channels, height and width."""

    channels: int
    size: tuple[int, int]
    tokens: int
    class_token: bool
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    resampling: Literal["bilinear", "bicubic"]

    @classmethod
    def of(cls, folder: Path, name: str, config: Any, class_token: bool) -> Picture:
        """What a model's configuration and its image processor's say; a folder without the latter scales to [0, 1]."""
        channels = int(getattr(config, "num_channels", 3))
        height, width = _pair(config.image_size)
        down, right = _pair(config.patch_size)
        said = _processor(folder, name)
        scale = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
        mean, deviation = (0.0,) * channels, (1.0,) * channels
        if said.get("do_normalize", False):
            mean, deviation = (_numbers(said, key, channels, name) for key in ("image_mean", "image_std"))
        count = (height // down) * (width // right) + class_token
        resampling: Literal["bilinear", "bicubic"] = "bicubic" if said.get("resample") == BICUBIC else "bilinear"
        return cls(channels, (height, width), count, class_token, scale, mean, deviation, resampling)

    @property
    def values(self) -> int:
        """How many numbers one image becomes."""
        return self.channels * self.size[0] * self.size[1]

    def pixels(self, images: Tensor) -> Tensor:
        """Pixels [n, channels, height, width] of bytes [n, height, width] or [n, height, width, 3]."""
        found = images.to(torch.float32)
        found = found[:, None] if found.ndim == 3 else found.permute(0, 3, 1, 2)
        if self.channels == 1 and found.shape[1] == 3:
            found = (found * found.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        if tuple(found.shape[2:]) != self.size:
            resize = torch.nn.functional.interpolate
            found = resize(found, size=self.size, mode=self.resampling, align_corners=False, antialias=True)
            found = found.clamp(0, 255)  # cubic splines overshoot
        found = found.expand(-1, self.channels, -1, -1)
        mean, deviation = (found.new_tensor(x).view(1, -1, 1, 1) for x in (self.mean, self.deviation))
        return ((found * self.scale - mean) / deviation).contiguous()


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _processor(folder: Path, name: str) -> dict[str, Any]:
    """What the folder says about images; empty if it says nothing."""
    path = folder / PROCESSOR
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MissingResource(f"model {name!r}: {PROCESSOR} cannot be read: {shown(str(error))}") from None
    return said if isinstance(said, dict) else {}


def _numbers(said: dict[str, Any], key: str, count: int, name: str) -> tuple[float, ...]:
    value = said.get(key)
    found = [value] * count if isinstance(value, int | float) else value
    if not isinstance(found, list) or len(found) != count or not all(isinstance(x, int | float) for x in found):
        raise MissingResource(
            f"model {name!r}: {PROCESSOR} does not say {key!r} as {count} numbers; got {shown(value)}"
        )
    return tuple(float(x) for x in found)
