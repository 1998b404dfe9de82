"""What is a video, and what videos need beside the package's own requirements."""

from importlib import import_module
from pathlib import Path

INSTALL = "pip install 'cyclestyle[video]'"
VIDEOS = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm"}
    | {".wmv"}
)
"""What files are taken for videos by."""
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Names as FFmpeg has them, by what is written; .m4v alone would be another thing to it."""


def means_a_video(photos: Path, to: Path) -> bool:
    """Whether something is to be painted as a video: it is one, or shall become one, as an animated GIF can."""
    return not photos.is_dir() and (photos.suffix.lower() in VIDEOS or to.suffix.lower() in CONTAINERS)


def require_packages() -> None:
    """Raises ValueError with what to type where an optional package is missing; imported are they where they serve."""
    for name in ("av", "cv2"):
        try:
            import_module(name)
        except ImportError as error:
            raise ValueError(
                f"painting videos needs {name}, which cannot be imported ({error}); type {INSTALL}"
            ) from None
