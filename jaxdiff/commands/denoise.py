"""`sample.py denoise`: the clean image behind every noisy one of a folder."""

from dataclasses import dataclass
from functools import partial

from jaxdiff.commands.estimates import EstimateOptions, bias_in_words, estimate_folder
from jaxdiff.commands.folders.options import has_unconditional_run, parsed
from jaxdiff.tasks.denoise import Denoised, denoise


@dataclass(frozen=True, kw_only=True)
class Denoise(EstimateOptions):
    """The clean image behind every noisy one of a folder, with the standard deviation of its samples."""

    calls: int = 4
    """Network calls for each sample."""
    correct: bool = True
    """Scale the light of the result to that of the noisy image, which noise of mean 0 leaves unchanged."""


def main(args: list[str], prog: str = "sample.py denoise") -> int:
    """The command: options from `args`; exit status. For a run of images alone see `commands/restoration/denoise.py`."""
    if has_unconditional_run(args):
        from jaxdiff.commands.restoration.denoise import main as restoration

        return restoration(args, prog)
    options: Denoise = parsed(Denoise, args, prog)

    def numbers(result: Denoised) -> dict[str, str | float]:
        return {} if result.bias is None else {"bias_before_correction": bias_in_words(result.bias)}

    return estimate_folder(options, "denoise", partial(denoise, correct=options.correct), numbers)
