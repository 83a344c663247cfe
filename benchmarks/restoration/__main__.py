"""`python -m benchmarks.restoration PART`: deconvolution by a prior beside classical methods, known truth.

    choose    --kind K [--data PATH/bbbc039] --run RUN     settings of all methods, on dev
    measure   --kind K [--data PATH/bbbc039] --run RUN [--split val]
    large     --data PATH/bbbc039                          the command on one large image
    planes    --out FOLDER                                 what configs/planes.py trains on for `volumes`
    volumes   --run RUN [--split val]                      equal voxels from thick slices
    direct    --data PATH/bbbc039 --run RUN [--split val]  denoising by `--direct`
    defaults  --data PATH/bbbc039 --run RUN                methods and orders that `restore` chooses between, on dev
    speed     --run RUN                                    a sample of a whole image against its network calls
    picture   --data PATH/bbbc039 --run RUN                docs/images/restoration.png
    report                                                 the section of docs/evidence.md

val is measured once: what is stored of it stays unless --again.
"""

from benchmarks.command import Part, command
from benchmarks.restoration import defaults, direct, large, measure, picture, report, speed, volumes

PARTS: dict[str, Part] = {
    "choose": measure.choose,
    "measure": measure.measure,
    "direct": direct.measure,
    "large": large.measure,
    "defaults": defaults.measure,
    "planes": volumes.planes,
    "volumes": volumes.measure,
    "speed": speed.measure,
    "picture": picture.draw,
    "report": report.write,
}

if __name__ == "__main__":
    command(PARTS, __doc__, cache=True)
