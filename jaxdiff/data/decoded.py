"""What kinds of data share: how grey levels become network units, and how much of the pixels is kept in memory."""

from dataclasses import dataclass

from jaxdiff.data.errors import DataError
from jaxdiff.data.maps import COUNTS, Anscombe, Asinh, Linear, Map, MapName, as_map
from jaxdiff.data.sources.source import Binned, Cached, Source
from jaxdiff.physics.camera import Camera
from jaxdiff.schema import conform

GIGABYTE = 2**30


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """What every kind of data says of its grey levels."""

    normalise: MapName | Linear | Asinh | Anscombe | Map = "asinh"
    """Monotone map before scaling to mean 0 and standard deviation 1: a name, or one of your own (`jaxdiff.data.maps`)."""
    camera: Camera = COUNTS
    """Of normalise="anscombe": its gain, offset and read noise turn grey levels to photons; the default takes counts."""

    def __post_init__(self):
        conform(self)
        _ = self.map

    @property
    def map(self) -> Map:
        """The map as an object."""
        return as_map(self.normalise, self.camera)


@dataclass(frozen=True, kw_only=True)
class Decoded(Normalised):
    """What kinds of data that are read from a disk share."""

    binning: int = 1
    """Mean over that many pixels in y and in x; the pixel size grows."""
    cache_gb: float = 2.0
    """Memory for decoded images; what is beyond it is decoded again in every epoch."""

    def cached(self, source: Source) -> Source:
        """A source binned, and kept in memory up to the limit."""
        if self.binning < 1:
            raise DataError(f"binning={self.binning}", "1 or more", "1 keeps the pixels as they are")
        binned = Binned(source, self.binning) if self.binning > 1 else source
        return Cached(binned, int(self.cache_gb * GIGABYTE))
