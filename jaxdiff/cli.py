"""The command line: `jaxdiff train|sample|demo`; `train.py` and `sample.py` call the same functions.

What takes time to import, JAX above all, is imported in the functions: `script` has then said what signals do.
"""

import io
import os
import select
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from jaxdiff import stopping

if TYPE_CHECKING:
    from jaxdiff.config import TrainConfig

USAGE = """usage: jaxdiff COMMAND …

  train CONFIG [--check] [--option value …]   train the run that a config file describes; the same command resumes it
  sample generate --run DIR [--option …]      new images from a trained run
  sample generate-labelled --out DIR          new images with instance masks: a training set
  sample segment --input DIR --out DIR        instances in your images, with their uncertainty
  sample denoise --input DIR --out DIR        clean images behind noisy ones, with their uncertainty
  sample super-resolve --run DIR --input DIR --out DIR   images of more pixels behind coarse ones
  sample translate --run DIR --input DIR --out DIR       another modality of your images, such as a virtual stain
  sample classify --run DIR --input DIR --out DIR        the class of each image, with its probability
  calibrate RUN --input DIR                   how sure sample classify may be, from held-out images by class
  prepare DIR --out DATA --name NAME          a folder of images as records that training reads fast, large ones in tiles
  pack RUN --out DIR                          a run as two small files, for shipping
  tune RUN [--nfe 4 5 6 8]                    learn samplers of few calls for a trained run: --solver tuned:5
  check-solver NAME|package.module:Class      hold a solver to what the library promises, and print the table
  check-posterior NAME|package.module:Class   hold a method of posterior sampling beside posteriors in closed form
  export RUN [--out FILE.zip]                 the sampler as one file that runs without jaxdiff, on CPU, CUDA and TPU
  demo                                        what the models that come with jaxdiff do, as pictures
  demo-train [--option value …]               train a small model on synthetic microscope images and sample from it

`jaxdiff train CONFIG --help` and `jaxdiff sample generate --help` list the options.
"""


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, unless JAX_COMPILATION_CACHE_DIR says where (empty: nowhere)."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(base) / "jaxdiff" / "xla"))
    # Small programs too: a second start then compiles nothing at all.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def train(args: Sequence[str], prog: str = "train.py") -> int:
    """`train.py CONFIG [--check] [--overrides]`."""
    from jaxdiff.config import load_config, override

    args = list(args)
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {prog} CONFIG [--check] [--option value …]; `{prog} CONFIG --help` lists the options")
        if args:
            return 0
        configs = sorted(str(path) for path in Path("configs").glob("*.py"))
        raise ValueError(
            "got no CONFIG; expected a Python file" + (f", such as {', '.join(configs)}" if configs else "")
        )
    check = "--check" in args
    config = override(load_config(args[0]), [arg for arg in args[1:] if arg != "--check"], f"{prog} {args[0]}")
    if check:
        from jaxdiff.data.config import open_data
        from jaxdiff.data.pairs import paired
        from jaxdiff.data.shown.report import patches_sheet, report

        data = open_data(config.data, config.patch, config.seed)
        print(report(data, config.patch))
        if config.pairs is not None:
            data = paired(data, config.pairs, patch=config.patch)
            print(f"pairs         {data.pairing.pairs if data.pairing else ''}")
        picture = Path(config.out) / f"{config.name}_check.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        print(f"16 patches as the network sees them: {patches_sheet(data, config.patch, picture, seed=config.seed)}")
        return 0
    from jaxdiff.training import hosts
    from jaxdiff.training.loop import train as train_run

    with hosts.joined(hosts.described(config)):
        folder = train_run(config)
        if not hosts.leader():
            return 0
    given = "" if config.pairs is None or config.pairs.task == "generate" else " --input IMAGES"
    print(
        f"trained: {folder}; next: python sample.py {_task(config)} --run {folder}{given} --out samples/{config.name}"
    )
    return 0


def _task(config: "TrainConfig") -> str:
    """The task of `sample.py` that a run of this config is for."""
    if config.pairs is None:
        return "generate"
    return "generate-labelled" if config.pairs.task == "generate" else config.pairs.task


TASKS = {
    "generate": "jaxdiff.commands.generate",
    "generate-labelled": "jaxdiff.commands.generate_labelled",
    "segment": "jaxdiff.commands.segment",
    "denoise": "jaxdiff.commands.denoise",
    "super-resolve": "jaxdiff.commands.super_resolve",
    "translate": "jaxdiff.commands.translate",
    "classify": "jaxdiff.commands.classify",
    "deconvolve": "jaxdiff.commands.restoration.deconvolve",
    "inpaint": "jaxdiff.commands.restoration.inpaint",
    "isotropic": "jaxdiff.commands.restoration.isotropic",
}
"""Tasks by name, and the module whose `main(args, prog)` does them."""


def sample(args: Sequence[str], prog: str = "sample.py") -> int:
    """`sample.py TASK …`."""
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {prog} TASK …; tasks: {', '.join(TASKS)}; `{prog} generate --help` lists the options")
        return 0 if args else 2
    if args[0] not in TASKS:
        raise ValueError(f"got task {args[0]!r}; expected one of {', '.join(TASKS)}; to fix: {prog} generate --run DIR")
    return import_module(TASKS[args[0]]).main(list(args[1:]), f"{prog} {args[0]}")


def tune(args: Sequence[str], prog: str = "jaxdiff tune") -> int:
    """`jaxdiff tune RUN …`."""
    from jaxdiff.commands.tune import main as tune_run

    return tune_run(list(args), prog)


def calibrate(args: Sequence[str], prog: str = "jaxdiff calibrate") -> int:
    """`jaxdiff calibrate RUN --input FOLDER`."""
    from jaxdiff.commands.calibrate import main as calibrate_run

    return calibrate_run(list(args), prog)


def check_solver(args: Sequence[str], prog: str = "jaxdiff check-solver") -> int:
    """`jaxdiff check-solver package.module:Class`: the conformance table of a solver."""
    from jaxdiff.commands.check_solver import main as check

    return check(list(args), prog)


def check_posterior(args: Sequence[str], prog: str = "jaxdiff check-posterior") -> int:
    """`jaxdiff check-posterior package.module:Class`: how right a method of posterior sampling is, and where."""
    from jaxdiff.commands.check_posterior import main as check

    return check(list(args), prog)


def export(args: Sequence[str], prog: str = "jaxdiff export") -> int:
    """`jaxdiff export RUN …`."""
    from jaxdiff.commands.export import main as export_run

    return export_run(list(args), prog)


def prepare(args: Sequence[str], prog: str = "jaxdiff prepare") -> int:
    """`jaxdiff prepare FOLDER --out DATA --name NAME`."""
    from jaxdiff.commands.prepare import main as prepare_folder

    return prepare_folder(list(args), prog)


def pack(args: Sequence[str], prog: str = "jaxdiff pack") -> int:
    """`jaxdiff pack RUN --out DIR`."""
    import tyro

    from jaxdiff.training.packed import NAME
    from jaxdiff.training.packed import pack as pack_run

    def packed(
        run: tyro.conf.Positional[Path],
        out: Path,
        step: int | None = None,
        dtype: Literal["float16", "float32"] = "float16",
        length: float | None = None,
        allow: tuple[str, ...] = (),
    ) -> Path:
        """A run as two small files, run.json and float16 parameters.

        Args:
            run: folder of the run.
            out: new folder.
            step: of the checkpoint or snapshot; default the newest.
            dtype: of the stored parameters.
            length: of a power-function average, relative to the run (0.02 to 0.2), of a run with power_ema; default the
                run's moving average.
            allow: packages, or paths of .py files, of your own whose classes the run may name, to have their fields checked;
                without them a run with such parts is packed as it is.
        """
        return pack_run(run, out, step, dtype, length=length, allow=allow)

    folder = tyro.cli(packed, prog=prog, args=list(args))
    print(f"{folder}: {(folder / NAME).stat().st_size / 1e6:.2f} MB of parameters; jd.load reads it, and --run")
    return 0


def demo(args: Sequence[str], prog: str = "jaxdiff demo") -> int:
    """`jaxdiff demo`: the shipped models."""
    from jaxdiff.commands.demo import demo as run_demo

    return run_demo(list(args), prog)


def demo_train(args: Sequence[str], prog: str = "jaxdiff demo-train") -> int:
    """`jaxdiff demo-train`: the whole way, on synthetic images."""
    from jaxdiff.commands.demo_train import demo_train as run_demo

    return run_demo(list(args), prog)


def run(command: Callable[[Sequence[str], str], int], args: Sequence[str], prog: str) -> int:
    """A command with its errors said in one message: exit status 2 for what the person can mend, 143 and 130 after SIGTERM
    and Ctrl-C, 141 where the reader of its output has left.

    JAXDIFF_DEBUG=1 shows the traceback instead.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        use_compilation_cache()
        return command(args, prog)
    except KeyboardInterrupt as stop:
        signum = stopping.SIGTERM if isinstance(stop, stopping.Terminated) else stopping.SIGINT
        return stopping.say(signum, prog, *stop.args[:1])
    except Exception as error:
        if (signum := stopping.signalled()) is not None:  # whatever a library made of it
            return stopping.say(signum, prog)
        if isinstance(error, BrokenPipeError) and _reader_left():
            return 141
        if os.environ.get("JAXDIFF_DEBUG"):
            raise
        # RuntimeErrors of jaxdiff are about checkpoints and diverged training; others are not the person's to mend.
        ours = isinstance(error, RuntimeError) and type(error).__module__.startswith("jaxdiff")
        if not (ours or isinstance(error, ValueError | OSError)):
            raise
        from jaxdiff.durable import is_full
        from jaxdiff.terminal import escaped

        text = str(error)
        if is_full(error) and not text.startswith("got "):
            text = (
                f"got a full disk ({text}); expected room for what is written; to fix: free some space, then the same "
                "command again, with --resume where it has that"
            )
        print(f"{prog}: error: {escaped(text)}", file=sys.stderr)
        return 2


def _format_warning(message: Warning | str, *place: Any) -> str:
    """Python's, with what a warning quotes out of files written out."""
    from jaxdiff.terminal import escaped

    return escaped(_FORMAT_WARNING(message, *place))


_FORMAT_WARNING = warnings.formatwarning


def script(command: Callable[[Sequence[str], str], int], args: Sequence[str], prog: str) -> NoReturn:
    """Runs a command as this process, from which it does not come back."""
    stopping.install(prog)
    warnings.formatwarning = _format_warning
    try:
        stopping.begin()
        status = run(command, args, prog)
    except SystemExit as stop:  # tyro's
        status = stop.code
    except KeyboardInterrupt:  # while something else was being said
        status = stopping.say(stopping.signalled() or stopping.SIGINT, prog)
    stopping.leave()
    if _flushed():
        status = 141
    if stopping.signalled() is not None:
        stopping.end(status)
    sys.exit(status)


def _flushed() -> bool:
    """Whether what was printed finds no reader any more; Python's own end would say so at length."""
    left = _reader_left()
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed before
        try:
            stream.flush()
        except BrokenPipeError:
            left = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return left


def _reader_left() -> bool:
    """Whether standard output or error is a pipe that nobody reads."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def main() -> NoReturn:
    """The `jaxdiff` command, for `jaxdiff.__main__`."""
    commands: dict[str, Callable[[Sequence[str], str], int]] = {
        "train": train,
        "sample": sample,
        "tune": tune,
        "calibrate": calibrate,
        "export": export,
        "prepare": prepare,
        "pack": pack,
        "check-solver": check_solver,
        "check-posterior": check_posterior,
        "demo": demo,
        "demo-train": demo_train,
    }
    name, args = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if name not in commands:
        known = name in ("-h", "--help", "")
        print(
            USAGE
            if known
            else f"jaxdiff: error: got command {name!r}; expected one of {', '.join(commands)}\n\n{USAGE}"
        )
        sys.exit(141 if _flushed() else 0 if name in ("-h", "--help") else 2)
    script(commands[name], args, f"jaxdiff {name}")


if __name__ == "__main__":
    main()
