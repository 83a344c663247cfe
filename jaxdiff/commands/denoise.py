"""`sample.py denoise`: the clean image behind every noisy one of a folder."""

from dataclasses import dataclass

from jaxdiff.commands.estimates import EstimateOptions, bias_in_words, estimate_folder
from jaxdiff.commands.folders.options import by_run, parsed
from jaxdiff.commands.restoration import denoise as restoration
from jaxdiff.tasks.denoise import Denoised, denoise


@dataclass(frozen=True, kw_only=True)
class Denoise(EstimateOptions):
    """The clean image behind every noisy one of a folder, with the standard deviation of its samples."""

    calls: int = 4
    """Network calls for each sample."""
    correct: bool = True
    """Scale the light of the result to that of the noisy image, which noise of mean 0 leaves unchanged."""


@dataclass(frozen=True, kw_only=True)
class AnyDenoise(restoration.DenoiseByPrior):
    """The clean image behind every noisy one of a folder, with the standard deviation of its samples.

    By a run that was trained for it, as the default is, or by one of images alone, which alone takes the options of camera,
    method and light, and --direct.
    """

    calls: int | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Network calls for each sample; default 4 of a run that was trained for it, 20 of one of images alone."""

    def __post_init__(self):
        """Nothing: what is checked depends on the run."""


def main(args: list[str], prog: str = "sample.py denoise") -> int:
    """The command: options from `args`; exit status."""
    options = by_run(parsed(AnyDenoise, args, prog), Denoise, restoration.DenoiseByPrior)
    if isinstance(options, restoration.DenoiseByPrior):
        return restoration.restored(options)

    def numbers(result: Denoised) -> dict[str, str | float]:
        return {} if result.bias is None else {"bias_before_correction": bias_in_words(result.bias)}

    return estimate_folder(options, "denoise", denoise, numbers, correct=options.correct)
