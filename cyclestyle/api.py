"""The package in Python: a painter that takes pictures in whatever form one has them.

from PIL import Image
from cyclestyle.api import load_painter

painter = load_painter("runs/monet")
painter(Image.open("photo.jpg"), strength=0.8).save("painting.png")
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cyclestyle.capacity import require_code
from cyclestyle.data.photo import read_photo
from cyclestyle.exporting.portable import PortablePainter, load_portable
from cyclestyle.files import reason
from cyclestyle.images import Images, Picture, to_images, to_pictures, to_rgb
from cyclestyle.networks.painter import Painter
from cyclestyle.networks.painter import load_painter as load_weights
from cyclestyle.runs import find_painter
from cyclestyle.translation.room import bytes_of
from cyclestyle.translation.whole import blended, paint_picture, require_strength

__all__ = ["ReadyPainter", "load_painter"]

PathLike: TypeAlias = str | os.PathLike[str]
Pixels: TypeAlias = NDArray[np.uint8]
"""(h, w, 3), RGB."""
Same = TypeVar("Same", Image.Image, Pixels, torch.Tensor)


@dataclass(frozen=True)
class ReadyPainter:
    """A painter that takes pictures as they come, and gives back the same kind."""

    painter: Painter | PortablePainter

    @property
    def direction(self) -> str:
        """What it makes of what: `photo to painting`, `painting to photo` or `unknown`."""
        return self.painter.card.direction

    @overload
    def __call__(
        self,
        given: PathLike | Image.Image,
        *,
        strength: float = 1.0,
        keep_colour: bool = False,
        max_memory: int | str | None = None,
    ) -> Image.Image: ...
    @overload
    def __call__(
        self,
        given: Same,
        *,
        strength: float = 1.0,
        keep_colour: bool = False,
        max_memory: int | str | None = None,
    ) -> Same: ...
    @overload
    def __call__(
        self,
        given: Sequence[Same],
        *,
        strength: float = 1.0,
        keep_colour: bool = False,
        max_memory: int | str | None = None,
    ) -> list[Same]: ...
    @overload
    def __call__(
        self,
        given: Sequence[PathLike],
        *,
        strength: float = 1.0,
        keep_colour: bool = False,
        max_memory: int | str | None = None,
    ) -> list[Image.Image]: ...

    def __call__(
        self, given: Any, *, strength: float = 1.0, keep_colour: bool = False, max_memory: int | str | None = None
    ) -> Any:
        """Paint a picture, or each of a list. Width and height stay.

        Args:
            given: a Pillow picture, (h, w, 3) bytes, a tensor (n, 3, h, w) in [-1, 1], or the name of a file, of which
                a Pillow picture is made; or a list of these. Pillow pictures are turned upright, and become RGB; a
                profile of colours is kept, or applied, the rest of the camera's record (EXIF) is not.
            strength: 0 gives the picture itself, 1 the painting, up to 1.5 more than it.
            keep_colour: take the painting's brightness alone, and the picture's colours.
            max_memory: of the whole process, in bytes or as `2GB`; pictures that do not fit are painted in tiles.

        Raises:
            ValueError: no picture of these kinds, or what is asked for is not possible; with the reason.
            FileNotFoundError: no such file.
        """
        if isinstance(strength, str):
            raise ValueError(f"a strength is a number; give {strength} without quotes")
        require_strength(strength)
        if isinstance(given, (list, tuple)):
            return [self(one, strength=strength, keep_colour=keep_colour, max_memory=max_memory) for one in given]
        if isinstance(given, torch.Tensor):
            if max_memory is not None:
                raise ValueError("tensors are painted at once; give Pillow pictures where there is a max_memory")
            return self._tensor(given, strength, keep_colour)
        if isinstance(given, np.ndarray):
            require_pixels(given)
            picture, profile = Image.fromarray(given), None
        elif isinstance(given, Image.Image):
            picture, profile = _upright(given)
        elif isinstance(given, (str, os.PathLike)):
            photo = read_photo(Path(given), alpha=False)
            picture, profile = photo.picture, photo.profile
        else:
            raise ValueError(
                f"a {type(given).__name__} cannot be painted; give a Pillow picture, the name of a file, an array "
                "(h, w, 3) of uint8, a tensor (n, 3, h, w) in [-1, 1], or a list of these"
            )
        painting = self._picture(picture, strength, keep_colour, max_memory)
        if profile is not None:
            painting.info["icc_profile"] = profile  # its colours are still meant that way
        return np.array(painting) if isinstance(given, np.ndarray) else painting

    def _picture(self, picture: Picture, strength: float, keep_colour: bool, max_memory: int | str | None) -> Picture:
        if isinstance(self.painter, Painter):
            most = bytes_of(max_memory) if isinstance(max_memory, str) else max_memory
            return paint_picture(self.painter, picture, strength=strength, keep_colour=keep_colour, max_memory=most)
        if max_memory is not None:
            raise ValueError("an ONNX painter paints pictures at once; give the run's own painter for a max_memory")
        (painting,) = to_pictures(self._tensor(to_images([picture]), strength, keep_colour))
        return painting

    def _tensor(self, images: Images, strength: float, keep_colour: bool) -> Images:
        require_images(images)
        photos = images.detach().float()
        if isinstance(self.painter, Painter):
            photos = photos.to(next(self.painter.network.parameters()).device)
        painted = blended(photos, self.painter(photos), strength, keep_colour=keep_colour)
        if not bool(painted.isfinite().all()):
            raise ValueError("the painter gives values that are no numbers; it is damaged")
        return painted.clamp(-1, 1).to(images.device, images.dtype)


def load_painter(path: PathLike, *, back: bool = False, device: torch.device | str | None = None) -> ReadyPainter:
    """A painter from a run folder, `paint.safetensors`, the reference's `latest_net_G.pth`, or an exported `.onnx`.

    Args:
        path: of one of these. Nothing in a file is executed.
        back: of a run folder, the painter of the way back: paintings to photos.
        device: where it paints; by default a GPU if PyTorch has one. ONNX painters paint on the CPU.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not a painter, or no such device; with the reason.
    """
    weights = find_painter(Path(path), back=back)
    if weights.suffix.lower() != ".onnx":
        return ReadyPainter(load_weights(weights, device_for(device)))
    if device is not None and _named(device).type != "cpu":
        raise ValueError(
            f"{weights} is painted with on the CPU; give the run folder or its paint.safetensors for {device}"
        )
    return ReadyPainter(load_portable(weights))


def _upright(given: Image.Image) -> tuple[Picture, bytes | None]:
    """A Pillow picture in RGB, and the profile in which its colours are meant, if that is one of RGB."""
    if not all(given.size):
        raise ValueError(f"a picture of {given.width} x {given.height} pixels cannot be painted; give one with pixels")
    try:
        given.load()
        picture = to_rgb(ImageOps.exif_transpose(given))
    except OSError as error:
        raise ValueError(f"the picture cannot be read whole ({reason(error)}); give another one") from None
    return picture, given.info.get("icc_profile") if given.mode in {"RGB", "RGBA", "P"} else None


def _named(device: torch.device | str) -> torch.device:
    """Raises ValueError for a name that no device has."""
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"there is no device {str(device)!r} here ({str(error).splitlines()[0]}); give cpu") from None


def device_for(wanted: torch.device | str | None) -> torch.device:
    """The device that is wanted, or the best there is. Raises ValueError where PyTorch has no such device."""
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(best) if wanted is None else _named(wanted)
    try:
        torch.empty(1, device=device)
        require_code(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"there is no device {str(device)!r} here ({said}); give cpu") from None
    return device


def require_pixels(pixels: NDArray[Any]) -> None:
    """Raises ValueError for an array that is no RGB picture of bytes."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"an array of {pixels.dtype} {pixels.shape} is no picture; give (h, w, 3) of uint8, RGB")


def require_images(images: torch.Tensor) -> None:
    """Raises ValueError for a tensor that is no batch of RGB pictures in [-1, 1]."""
    shape = tuple(images.shape)
    if not images.is_floating_point() or len(shape) != 4 or shape[1] != 3 or not images.numel():
        raise ValueError(f"a tensor of {images.dtype} {shape} is no batch of pictures; give floats (n, 3, h, w)")
    if not bool((images.abs() <= 1.001).all()):  # a little more is what rounding to 16 bits leaves
        low, high = images.min().item(), images.max().item()
        raise ValueError(f"the tensor's values go from {low:g} to {high:g}; give pictures in [-1, 1], RGB")
