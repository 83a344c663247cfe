"""The models that come with the package, by the task they are for."""

from pathlib import Path

FOLDER = Path(__file__).parent / "models"
SHIPPED = {
    "segment": FOLDER / "nuclei_segmentation",
    "denoise": FOLDER / "nuclei_denoising",
    "restoration": FOLDER / "nuclei_prior",
    "generate-labelled": FOLDER / "nuclei_generation",
}


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
