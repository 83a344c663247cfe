"""The fields of kinds of data that say which class each object of a mask is of."""

from dataclasses import dataclass
from pathlib import Path

from jaxdiff.data.errors import DataError
from jaxdiff.data.sources.class_tables import ClassFolders, ClassTables, ClassTruth, ClassValues


@dataclass(frozen=True, kw_only=True)
class ClassFields:
    """Classes of the objects in masks; at most one of the fields is given. `Segmentation(classes=...)` reads them."""

    mask_classes: Path | None = None
    """A CSV file with the columns image, label and class, or a folder of one with label and class for each image."""
    class_folders: bool = False
    """`masks` holds a folder for each class, named after it, with masks of the class's objects for every image."""
    class_values: tuple[str, ...] = ()
    """Masks hold classes of pixels, such as ("1=nucleus", "2=debris"): each connected piece is an object."""

    def class_truth(self, masks: Path | None) -> ClassTruth | None:
        """Where the classes of the objects in `masks` come from. Raises DataError for more than one place."""
        places: list[ClassTruth] = [] if self.mask_classes is None else [ClassTables(self.mask_classes)]
        places += [ClassFolders()] if self.class_folders else []
        places += [ClassValues(self.class_values).checked()] if self.class_values else []
        if len(places) > 1 or (places and masks is None):
            raise DataError(
                f"mask_classes={self.mask_classes}, class_folders={self.class_folders}, class_values={self.class_values} "
                f"and masks={masks}",
                "classes of objects from one place, and masks",
                "leave out the others; masks is the folder of the masks",
            )
        return places[0] if places else None
