"""`sample.py denoise` with an unconditional model: the image behind a noisy one."""

from dataclasses import dataclass

from jaxdiff.commands.estimates import check_results, suffixes, write_estimate
from jaxdiff.commands.folders.options import task_over_folder
from jaxdiff.commands.restoration.folder import restore_folder
from jaxdiff.commands.restoration.options import RestoreOptions
from jaxdiff.tasks.restoration.direct import denoise_directly


@dataclass(frozen=True, kw_only=True)
class DenoiseByPrior(RestoreOptions):
    """Samples of the image behind every noisy one of a folder: their mean, and their standard deviation."""

    direct: bool = False
    """Take the noisy image for the model's own x at the size of its noise: --calls 1 is its mean; for even noise only."""


def restored(options: DenoiseByPrior) -> int:
    """The command; exit status."""
    if not options.direct:
        return restore_folder(options, lambda image, info: {})
    options.without_intervals("a run of images alone")
    model = options.model("restoration")
    solver = options.solver_of(model)

    def work(key, image, info, path):
        check_results(options, info)
        exposed = options.exposed(image)
        result = denoise_directly(
            key, model, exposed, options.camera, options.samples, calls=options.calls, solver=solver
        )
        return write_estimate(result, exposed, info, path, options)

    samples = options.samples if options.calls > 1 else 1  # one call is the mean itself
    return task_over_folder(options, model, suffixes(options, samples), work, expected=model.info)
