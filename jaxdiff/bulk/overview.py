"""sheet.png: the first images of a bulk run on one picture."""

import numpy as np

from jaxdiff.bulk.job import Job
from jaxdiff.data.shown.picture import sheet

NAME = "sheet.png"
MOST = 64


def draw(job: Job, images: np.ndarray) -> None:
    """Draws at most `MOST` of the finite images, in data units and dtype, into the folder of the job."""
    sheet(job.model.normaliser.forward(images[:MOST]), job.out / NAME)  # its map shows dim and bright alike
