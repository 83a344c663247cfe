"""The models that come with the package, by the task they are for."""

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "models"
SHIPPED = {
    "segment": FOLDER / "any_nuclei_segmentation",
    "denoise": FOLDER / "nuclei_denoising",
    "restoration": FOLDER / "nuclei_prior",
    "generate-labelled": FOLDER / "nuclei_generation",
}
LINES: Mapping[str, str] = {
    "any_nuclei_segmentation": "segment: fluorescent nuclei of any size and microscope, windows of 96×96, 2.67 M parameters",
    "nuclei_segmentation": "segment: nuclei like those of BBBC039, windows of 96×96, 1.68 M parameters",
    "nuclei_denoising": "denoise: nuclei behind 10 to 100 photons, windows of 64×64, 0.94 M parameters",
    "nuclei_prior": "deconvolve, inpaint, isotropic, generate: nuclei alone, windows of 64×64, 0.93 M parameters",
    "nuclei_generation": "generate-labelled: nuclei in the places of a mask, windows of 64×64, 1.68 M parameters",
}
"""What `models` says of each folder."""


class Models(dict[str, str]):
    """Names of models, and a line about each; shown as a list."""

    def __repr__(self) -> str:
        return "\n".join(f"{name:20} {line}" for name, line in self.items()) or f"none in {FOLDER}"


def models() -> Models:
    """The models that come with the package: name, as `jd.load` and `--run` take it, and what each is for.

    Example:
        >>> list(models())
        ['any_nuclei_segmentation', 'nuclei_segmentation', 'nuclei_denoising', 'nuclei_prior', 'nuclei_generation']
    """
    return Models({name: line for name, line in LINES.items() if (FOLDER / name / "run.json").is_file()})


def folder_of(run: str | Path) -> Path:
    """The folder of a run: `run` as a path where there is one, else the model of that name.

    Raises FileNotFoundError for a plain name that is neither.
    """
    path = Path(run)
    if path.exists() or path.name != str(path):
        return path
    if str(path) in models():
        return FOLDER / path
    runs = sorted(str(beside.parent) for beside in Path().glob("*/run.json"))
    choices = ", ".join([*models(), *runs[:8]])
    raise FileNotFoundError(
        f"got {run}, which is no folder here and no model that comes with jaxdiff; expected a run folder, or one of "
        f"{choices}; to fix: train a run first (jaxdiff train CONFIG), or one of these names"
    )


def shipped(task: str) -> Path:
    """The folder of the shipped model for `task`, as `jd.load` takes it. Raises ValueError where there is none."""
    if task not in SHIPPED:
        raise ValueError(
            f"got no --run for {task}, for which no model is shipped; expected a run folder; to fix: train a config for it, "
            "then --run runs/NAME"
        )
    folder = SHIPPED[task]
    if not (folder / "run.json").is_file():  # a source checkout may lack them
        raise ValueError(
            f"got no --run, and no shipped model in {folder}; expected one; to fix: install jaxdiff from its wheel, or "
            f"name a run: train.py configs/{folder.name}.py makes one, then --run runs/{folder.name}"
        )
    return folder
