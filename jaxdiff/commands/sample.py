"""`sample.py TASK …`: what trained models do with images, each task a command."""

from collections.abc import Mapping

from jaxdiff.commands.table import Command, lines

TASKS: Mapping[str, Command] = {
    "generate": Command("--run DIR [--option …]", "new images from a trained run", "generate"),
    "generate-labelled": Command("--out DIR", "new images with instance masks: a training set", "generate_labelled"),
    "segment": Command("--input DIR --out DIR", "instances in your images, with their uncertainty", "segment"),
    "denoise": Command("--input DIR --out DIR", "clean images behind noisy ones, with their uncertainty", "denoise"),
    "super-resolve": Command(
        "--run DIR --input DIR --out DIR", "images of more pixels behind coarse ones", "super_resolve"
    ),
    "translate": Command(
        "--run DIR --input DIR --out DIR",
        "another modality of your images, such as a virtual stain",
        "translate",
    ),
    "classify": Command("--run DIR --input DIR --out DIR", "the class of each image, with its probability", "classify"),
    "deconvolve": Command(
        "--run DIR --input DIR --out DIR", "the images behind blurred and noisy ones", "restoration.deconvolve"
    ),
    "inpaint": Command("--run DIR --input DIR --out DIR", "what missing pixels may have shown", "restoration.inpaint"),
    "isotropic": Command(
        "--run DIR --input DIR --out DIR",
        "volumes of equal voxels behind stacks of thick or distant slices",
        "restoration.isotropic",
    ),
}


def main(args: list[str], prog: str = "sample.py") -> int:
    """The command: a task and its options from `args`; exit status."""
    if not args or args[0] in ("-h", "--help"):
        print("\n".join([f"usage: {prog} TASK …; `{prog} generate --help` lists the options", "", *lines(TASKS)]))
        return 0 if args else 2
    if args[0] not in TASKS:
        raise ValueError(f"got task {args[0]!r}; expected one of {', '.join(TASKS)}; to fix: {prog} generate --run DIR")
    return TASKS[args[0]](args[1:], f"{prog} {args[0]}")
