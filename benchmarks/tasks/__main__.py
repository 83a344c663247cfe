"""`python -m benchmarks.tasks PART --data PATH/bbbc039`: the conditional tasks beside other methods.

    baselines                                   the classical methods' parameters, chosen on dev
    regression  --config RUN                    the same network, data and steps as the run, trained to the mean; or
    regression  --config configs/X.py -- --steps 3000 --data.path PATH       the run's config file and options
    calls       --task T --run RUN              quality against network calls on dev; how many to take
    evaluate    --task T --run RUN --regression RUN_regression [--split val] [--full]
    uncertainty --task T --run RUN [--split val]
    hallucinations --run RUN [--split val]      nuclei that denoised images show or lose, against photons
    microscopes --data PATH/dsb2018 --run RUN --regression RUN_regression [--split val]   images of many microscopes
    labelled    --run RUN [--split val]         images generated for the masks of real fields
    blood       --data BCCD --out FOLDER        windows of blood cells, for configs/blood_cells.py
    classification --data BCCD --runs FOLDER [--split val]
    unusual     --data BCCD --nuclei PATH --run FOLDER/blood_all    does the score see what is like no class?
    spectrum    --run RUN --regression RUN_regression   resolution and power on the synthetic microscope
    help        --data PATH --out FOLDER [--seed S]     networks trained with and without made images
    helped      --data PATH --out FOLDER [--split val]  and their scores
    smears      --data BCCD --out FOLDER        pairs of green and colour, for configs/blood_translation.py
    translation --data BCCD --run RUN --regression RUN_regression [--split val]
    report                                      the section on tasks of docs/evidence.md

Everything is chosen on dev, so dev comes first (its `evaluate` also chooses the watershed of the networks); val is
measured once, what is stored of it stays unless --again. A command that runs out of its --minutes ends with status 75,
and continues when it is given again.
"""

from benchmarks.command import Part, command
from benchmarks.tasks import (
    calls,
    choose_baselines,
    classification,
    evaluate,
    hallucinations,
    labelled,
    microscopes,
    regression,
    report,
    smears,
    spectrum,
    synthetic_help,
    translation,
    uncertainty,
    unusual,
)

PARTS: dict[str, Part] = {
    "baselines": choose_baselines.choose,
    "regression": regression.part,
    "calls": calls.measure,
    "evaluate": evaluate.evaluate,
    "uncertainty": uncertainty.measure,
    "hallucinations": hallucinations.measure,
    "microscopes": microscopes.measure,
    "labelled": labelled.measure,
    "blood": classification.write,
    "classification": classification.measure,
    "unusual": unusual.measure,
    "spectrum": spectrum.measure,
    "help": synthetic_help.prepare,
    "helped": synthetic_help.measure,
    "smears": smears.write,
    "translation": translation.measure,
    "report": report.write,
}

if __name__ == "__main__":
    command(PARTS, __doc__, cache=True)
