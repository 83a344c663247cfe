"""Images that are split already: what to train on and what to hold out, in folders beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxdiff.data.dataset import Dataset, checked, finish
from jaxdiff.data.decoded import Decoded
from jaxdiff.data.errors import DataError
from jaxdiff.data.normalise import Normaliser
from jaxdiff.data.sources.class_fields import ClassFields
from jaxdiff.data.sources.folder import list_folder
from jaxdiff.data.sources.source import Source


@dataclass(frozen=True)
class SplitFolders(ClassFields, Decoded):
    """A folder with train/{images,masks} and dev/{images,masks}; masks have the names of their images."""

    path: Path
    """The folder that holds both parts."""
    axes: str | None = None
    """Axes of the files where their metadata do not say, such as YX, CYX or YXS."""
    channel_names: tuple[str, ...] | None = None
    """Names of the channels, in place of what the files say."""
    skip_unreadable: bool = False
    """Leave out damaged files (their number is reported) where otherwise the run refuses to start."""

    def open(self, patch: Sequence[int], seed: int, normaliser: Normaliser | None = None) -> Dataset:
        (train, skipped), (validation, also) = (self._part(part, patch) for part in ("train", "dev"))
        return finish(train, validation, self.map, normaliser, skipped + also)

    def _part(self, part: str, patch: Sequence[int]) -> tuple[Source, tuple[str, ...]]:
        folder = Path(self.path) / part
        if not (folder / "images").is_dir():
            raise DataError(f"{self.path} without {part}/images", "train and dev, each with images", "correct the path")
        masks = folder / "masks"
        listing = list_folder(
            folder / "images",
            masks if masks.is_dir() else None,
            axes=self.axes,
            channel_names=self.channel_names,
            skip_unreadable=self.skip_unreadable,
            mask_classes=self.class_truth(masks if masks.is_dir() else None),
        )
        source, _, skipped = checked(self.cached(listing.source), patch, self.skip_unreadable)
        return source, listing.skipped + skipped
