"""The loop of a restoration over a folder of images."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxdiff.commands.estimates import (
    bias_in_words,
    check_results,
    info_over,
    pixel_size_in_words,
    suffixes,
    write_estimate,
)
from jaxdiff.commands.folders.as_read import read_once
from jaxdiff.commands.folders.options import task_over_folder
from jaxdiff.commands.restoration.options import RestoreOptions, check_missing, check_psf, method_named
from jaxdiff.data.info import DataInfo
from jaxdiff.model import Model
from jaxdiff.physics.operators import LinearOperator
from jaxdiff.sampling.program import WINDOW
from jaxdiff.tasks.restoration.restore import check_prior, restore
from jaxdiff.tasks.scale import say_end

ProblemOf = Callable[[np.ndarray, DataInfo], dict[str, Any]]
"""(image of a file, what is known of it) -> `operator`, `size`, `seen` of `restore`, as far as they differ from its own."""


def restore_folder(
    options: RestoreOptions,
    problem: ProblemOf,
    factor: tuple[int, ...] | None = None,
    adapt: Callable[[Model], Model] = lambda model: model,
    **settings: Any,
) -> int:
    """The files of `jaxdiff.commands.estimates.suffixes` for every image of `options.input`; the exit status.

    factor: pixels of the result for one of the image, along each axis. adapt: the model for these images. settings: further
    ones of `restore`.
    """
    options.without_intervals("a run of images alone")
    model = options.model("restoration")
    check_prior(model)
    solver = options.solver_of(model)
    model = adapt(model)
    factor = (1,) * (len(model.shape) - 1) if factor is None else factor
    mesh = Mesh(np.array(jax.devices()), (WINDOW,)) if jax.device_count() > 1 else None
    restored = partial(
        restore,
        mesh=mesh,
        method=None if options.method is None else method_named(options.method),
        offset=options.offset,
        read_noise=options.read_noise,
        calls=options.calls,
        solver=solver,
        correct=options.correct,
        remat=options.remat,
        **settings,
    )

    checks = {"psf": check_psf, "missing": check_missing}
    read_files = {
        name: read_once(path, check, options.all_readers)
        for name, check in checks.items()
        if (path := getattr(options, name, None)) is not None
    }

    def work(key, image, info, path):
        for note in (note for file in read_files.values() for note in file.notes):
            warnings.warn(note, stacklevel=2)
        check_results(options, info)
        arguments = problem(image, info)
        seen = arguments.pop("seen", True) & options.seen(image)
        exposed = options.exposed(image)
        if image.dtype.kind in "ui":
            end = float(options.exposed(np.array(np.iinfo(image.dtype).max, np.float64)))
            say_end(end, image.dtype.name, model.levels, model.normaliser)
        # A name that `ResultsFolder.clear` knows, should this process be killed.
        scratch = path.with_name(f".{path.name}.ome.zarr.samples.partial") if options.format == "ome-zarr" else None
        try:
            result = restored(
                key,
                model,
                exposed,
                camera=options.camera,
                samples=options.samples,
                seen=seen,
                scratch=scratch,
                **arguments,
            )
            shown = np.where(np.isfinite(exposed), exposed, np.nanmin(exposed))
            restored_info = info_over(info, factor)
            numbers = {
                **write_estimate(result, shown, restored_info, path, options),
                **pixel_size_in_words(restored_info, factor),
            }
        finally:
            if scratch is not None:
                scratch.unlink(missing_ok=True)
        camera = result.camera
        of_camera = {name: getattr(camera, name) for name in ("gain", "offset", "read_noise") if camera is not None}
        interval = {} if result.gain is None else {"gain_low": result.gain.low, "gain_high": result.gain.high}
        return {
            **numbers,
            "method": result.method,
            "misfit": result.misfit,
            "misfit_of_samples": " ".join(f"{value:.4g}" for value in result.misfits),
            "diverged_samples": int(np.count_nonzero(result.diverged)),
            "bias_before_correction": bias_in_words(np.asarray(result.bias)),
            "left_out": result.left_out,
            **of_camera,
            **interval,
        }

    expected = info_over(model.info, tuple(1 / f for f in factor))
    also = {f"{name}_sha256": file.sha256 for name, file in read_files.items()}
    return task_over_folder(options, model, suffixes(options), work, expected=expected, also=also)


def product(outer: LinearOperator, inner: LinearOperator | None) -> LinearOperator:
    """outer @ inner, where there is one."""
    return outer if inner is None else outer @ inner
