"""A look at the averaged parameters of a run: the loss on held-out patches, and a sheet of samples."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxdiff.training import hosts
from jaxdiff.training.batch import to_batch
from jaxdiff.training.metrics_log import MetricsLog
from jaxdiff.training.preview import Preview, as_array
from jaxdiff.training.run import Run
from jaxdiff.training.sharding import on_one_device
from jaxdiff.training.validation import Validation


class Look:
    """Validation and preview of one run, always of the same patches with the same noise.

    Where nothing is held out there is no validation, and the sheet of real images shows training patches.
    """

    def __init__(self, run: Run):
        self.validation = self.preview = None
        self._run, config = run, run.config
        if config.validation_images and (batches := self._held_out(config.validation_images)):
            self.validation = Validation(run.loss, config.network, run.key_validation, batches)
        if config.previews:
            parts = self._held_out(config.previews) or [run.examples(config.previews)]
            self.preview = Preview(
                run.folder,
                run.key_preview,
                network=config.network,
                predicts=config.predicts,
                sigma_data=config.sigma_data,
                schedule=config.schedule,
                real=jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts),
                solver=run.preview_solver,
            )

    def _held_out(self, num: int) -> list[dict[str, Any]]:
        """`num` held-out examples; none where nothing is held out."""
        config = self._run.config
        batches = self._run.data.validation_batches(config.patch, min(num, config.batch_size), num)
        return [to_batch(batch, config.network) for batch in batches]

    def due(self, validate: bool, preview: bool) -> bool:
        """Whether there is something to do."""
        return (validate and self.validation is not None) or (preview and self.preview is not None)

    def __call__(
        self, step: int, log: MetricsLog | None, validate: bool, preview: bool, say: Callable[[str], None]
    ) -> None:
        """Measures and draws; every host calls it, the one with a log works and writes."""
        ema, teacher = on_one_device((self._run.state.ema, self._run.teacher if validate else None))
        if log is not None and validate and self.validation is not None:
            log.write(step, self.validation(ema, step, teacher))
        if log is not None and preview and self.preview is not None:
            path = self.preview(ema, step)
            log.picture(step, "samples", as_array(path))
            say(f"samples of step {step}: {path}")
        hosts.decided("measured")  # before the others enter a collective, which may have a timeout of its own
