"""`sample.py segment`: the instances in every image of a folder."""

import warnings
from dataclasses import asdict, dataclass

import numpy as np
from tqdm import tqdm

from jaxdiff.bulk.job import parameters_checksum
from jaxdiff.commands.calibrated import IntervalOptions, described, usable
from jaxdiff.commands.folders.options import parsed, task_over_folder
from jaxdiff.commands.length import length_of
from jaxdiff.commands.usual import settings_of
from jaxdiff.data.files.labels import write_labels
from jaxdiff.data.files.write import write_image
from jaxdiff.data.shown.objects import objects, write_csv
from jaxdiff.data.shown.overlay import overlay
from jaxdiff.model import Model
from jaxdiff.tasks.margin_calibration import MarginCalibration, margin_settings
from jaxdiff.tasks.sampled import check_posterior_std, check_task
from jaxdiff.tasks.seen import object_size_of
from jaxdiff.tasks.segment import Fuse, check_diameter, segment
from jaxdiff.tasks.usual import NAME, Usual, load_usual, look
from jaxdiff.terminal import one_line


@dataclass(frozen=True, kw_only=True)
class Segment(IntervalOptions):
    """Instances in every image of a folder: labels, a table of objects, probability and uncertainty, a picture.

    Of a model of classes the table has the class of each object and its probability, and outlines are coloured by class.
    """

    samples: int = 4
    """Samples that are fused; 1 gives no uncertainty."""
    calls: int = 2
    """Network calls for each sample."""
    fuse: Fuse = "mean"
    """Foreground: where the mean distance is above 0, or where more than half of the samples are inside."""
    dynamic: float = 2.5
    """Pixels that a maximum of the distance must stand above the pass to a higher one to be an object of its own."""
    least: int = 20
    """Pixels of the smallest object; as of dynamic, of the resampled image where the model resamples."""
    diameter: str | None = None
    """Of the objects, for a model of one size: in pixels of the image (18), or of known pixels in micrometres (12um); default
    estimated from each image."""


def main(args: list[str], prog: str = "sample.py segment") -> int:
    """The command: options from `args`; exit status."""
    options: Segment = parsed(Segment, args, prog)
    model = options.model("segment")
    check_task(model, "segment")
    solver = options.solver_of(model)
    check_posterior_std(options.std, solver)
    calibration = usable(
        options,
        model,
        "segment",
        MarginCalibration,
        lambda: margin_settings(
            model, options.samples, options.calls, solver, options.std, given=options.diameter is not None
        ),
    )
    object_length = None if options.diameter is None else length_of(options.diameter)
    check_diameter(None if object_length is None else object_length.number, object_size_of(model))
    usual = _usual_for(options, model)

    def work(key, image, info, path):
        diameter = None if object_length is None else object_length.pixels(info)
        result = segment(
            key,
            model,
            image,
            options.samples,
            calls=options.calls,
            solver=solver,
            posterior_std=options.std,
            fuse=options.fuse,
            dynamic=options.dynamic,
            least=options.least,
            diameter=diameter,
        )
        name = path.name
        if result.diameter_from == "estimate":
            tqdm.write(one_line(f"{name}: objects of {result.diameter:.3g} pixels, estimated; --diameter overrules"))
        write_labels(path.with_name(f"{name}_labels.ome.tif"), result.labels, info)
        maps, unsure = {"probability": result.probability}, None
        if options.samples > 1:
            maps["uncertainty"] = unsure = result.uncertainty
        else:
            warnings.warn(
                "one sample has no uncertainty: none was written; to fix: more --samples tell how sure the model is",
                stacklevel=1,
            )
        if calibration is not None:
            maps |= calibration.regions(result, options.wanted(calibration))._asdict()
        maps_info = info.replace(channel_names=tuple(maps), colour=False, dtype="float32")
        write_image(path.with_name(f"{name}_probability.ome.tif"), np.stack(list(maps.values()), axis=-1), maps_info)
        classes = result.classes
        table = objects(
            result.labels,
            image,
            info.pixel_size,
            info.unit,
            None if classes is None else classes.of_label,
            channel_names=info.channel_names,
            uncertainty=unsure,
            class_probability=None if classes is None else classes.probability_of_label,
        )
        numbers: dict[str, str | float] = {"objects": int(result.labels.max())}
        if classes is not None:
            found = list(classes.of_label.values())
            numbers |= {f"objects of {one}": found.count(one) for one in classes.names}
        if unsure is not None:
            own = look(model, image, result)
            numbers |= {"mean_uncertainty": float(unsure.mean()), "doubt": own.doubt, "contrast": own.contrast}
            if usual is not None:
                usual.say_odd(own)
                numbers["familiar"] = usual.familiar(own)
                table["image_familiar"] = np.full(len(table["label"]), numbers["familiar"])
        write_csv(path.with_name(f"{name}_objects.csv"), table)
        kinds = None if classes is None else dict(enumerate((classes.number + 1).tolist(), 1))
        overlay(image, result.labels, path.with_name(f"{name}_overlay.png"), unsure, kinds=kinds)
        if result.diameter is not None:
            whence = "--diameter" if result.diameter_from == "given" else str(result.diameter_from)
            numbers |= {"diameter": result.diameter, "diameter_from": whence}
        return numbers

    suffixes = ("_labels.ome.tif", "_probability.ome.tif", "_objects.csv", "_overlay.png")
    also = described(calibration) | ({} if usual is None else {"usual": usual.checksum})
    return task_over_folder(options, model, suffixes, work, also=also)


def _usual_for(options: Segment, model: Model) -> Usual | None:
    """What is usual in the model's run, where it is of these settings; where it is of others, a line says so."""
    usual = None if model.run is None or options.samples < 2 else load_usual(model.run)
    if usual is None:
        return None
    reason = usual.unlike(settings_of(asdict(options)), model.step, parameters_checksum(model))
    if reason is not None:
        print(one_line(f"images are not compared with known ones, {model.run}/{NAME} is of other results: {reason}"))
        return None
    return usual
