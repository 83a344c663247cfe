"""Every block of README and docs runs here or in the test of its page, or says why not; every command is parsed."""

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import exact_models
import jax
import numpy as np
import pytest
import tyro
from doc_blocks import ROOT, blocks, commands, spans

import jaxdiff as jd
from jaxdiff import cli
from jaxdiff.data.pairs import Denoising, Segmentation
from jaxdiff.guidance.posterior import Measurement
from jaxdiff.physics.operators import Mask

PAGES_WITH_TESTS = {
    "docs/data.md": "tests/data/test_data_docs.py",
    "docs/restoration.md": "tests/test_restoration_page.py",
    "docs/training.md": "tests/training/test_training_docs.py",
}
"""Pages whose Python all runs in a test of their own."""

BLOCKS = blocks()
PYTHON_PAGES = sorted(
    {b.page for b in BLOCKS if b.language == "python" and b.mark is None and b.page not in PAGES_WITH_TESTS}
)


class Parsed(Exception):
    """A command line was understood."""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the configs of the repository and the shipped models as runs, to stand in."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "runs").mkdir()
    for name in (
        "any_nuclei_segmentation",
        "nuclei_prior",
        "nuclei_denoising",
        "nuclei_segmentation",
        "nuclei_generation",
    ):
        (tmp_path / "runs" / name).symlink_to(ROOT / "jaxdiff" / "models" / name)
    (tmp_path / "runs" / "nuclei_stabilised").symlink_to(ROOT / "jaxdiff" / "models" / "nuclei_prior")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    return tmp_path


@pytest.fixture
def parse(desk, monkeypatch, capsys):
    """A function of the words of a command: None where its parser takes them all, else what it says."""
    ours = tyro.cli

    def parsed_only(*args, **kwargs):
        ours(*args, **kwargs)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", parsed_only)

    def parse(words: list[str]) -> str | None:
        name, *args = words[1:] if words[0] == "jaxdiff" else [words[0].removesuffix(".py"), *words[1:]]
        if name == "demo":  # has no options, and would run
            return None
        if name not in cli.COMMANDS:
            return f"invalid choice: {name!r} is no command"
        try:
            cli.COMMANDS[name](args, name)
        except Parsed:
            return None
        except (ValueError, OSError) as error:
            return str(error)
        except SystemExit as stop:
            text = capsys.readouterr()
            return (
                None if stop.code in (0, None) else re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", text.err + text.out))
            )
        return None

    return parse


def test_every_block_is_run_or_says_why_not():
    silent = []
    for block in BLOCKS:
        if block.language in ("text", "bibtex", "mermaid", "json", "toml", "yaml") or block.mark is not None:
            continue
        if block.language != "python":
            silent.append(
                f"{block}: a {block.language or 'nameless'} block; to fix: <!-- not run: reason --> before it"
            )
    assert not silent, "\n".join(silent)
    for page, test in PAGES_WITH_TESTS.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_every_command_of_a_block_is_understood(parse):
    words = [(block, command) for block in BLOCKS if block.language != "python" for command in commands(block.code)]
    assert len(words) > 25
    wrong = [f"{block}: {' '.join(command)}: {said}" for block, command in words if (said := parse(command))]
    assert not wrong, "\n".join(wrong)


def test_every_option_named_in_a_sentence_is_there(parse):
    """What stands in a sentence may lack the rest of the command; its options are those of the command."""
    seen = 0
    for page, span in sorted(set(spans())):
        for command in commands(span):
            if any(word.startswith("--") for word in command) and not re.search(r"…|\.\.\.|TASK|COMMAND", span):
                said = parse(command) or ""
                assert "nrecognized" not in said, f"{page}: {span}: {said}"
                assert "invalid choice" not in said, f"{page}: {span}: {said}"
                seen += 1
    assert seen > 5


def test_targets_extras_and_modules_are_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    makefile = (ROOT / "Makefile").read_text()
    shell = "\n".join(block.code for block in BLOCKS if block.language != "python")
    told = shell + "\n" + "\n".join(span for _, span in spans())
    for target in re.findall(r"^make ([a-z][\w-]*)", told, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for extras in re.findall(r"(?:jaxdiff|\.)\[([\w,]+)\]", told):
        assert set(extras.split(",")) <= set(project["optional-dependencies"]), extras
    for module in set(re.findall(r"python -m (benchmarks[\w.]*)", told)):
        assert find_spec(module), module


def models() -> dict:
    """Models in closed form, by the name of the folder that a page loads them from."""
    gaussian = exact_models.Gaussian(std=1.0)
    nuclei = exact_models.exact(gaussian)
    return {
        **{name: nuclei for name in ("nuclei", "demo", "nuclei_prior")},
        "any_nuclei_segmentation": exact_models.exact(exact_models.Gaussian(std=0.1), Segmentation()),
        "nuclei_segmentation": exact_models.exact(exact_models.Gaussian(std=0.1), Segmentation()),
        "nuclei_denoising": exact_models.exact(exact_models.Gaussian(std=0.1), Denoising()),
    }


def names_of(page: str) -> dict:
    """What the blocks of a page take as known."""
    import jax.numpy as jnp
    import optax

    rng = np.random.default_rng(0)
    image = rng.normal(100.0, 20.0, (10, 9, 1)).astype(np.float32)
    names = {
        "__name__": "page",
        **{"jax": jax, "jnp": jnp, "np": np, "jd": jd, "optax": optax, "key": jax.random.key(0)},
        **{"other_key": jax.random.key(1), "image": image, "noisy": image, "model": models()["nuclei"]},
        **{"schedule": jd.Cosine(), "shape": (8, 8, 1), "denoise": exact_models.Gaussian(std=1.0)},
    }
    if page == "docs/posterior.md":
        y = rng.normal(size=(16, 16, 1))
        names |= {"operator": Mask(rng.random((16, 16, 1)) < 0.5), "y": y}
    return names


def smaller(code: str) -> str:
    """The same with a few images in place of a million, and a few draws of what converges slowly."""
    for many, few in (
        ("1_000_000", "8"),
        ("123456", "5"),
        ("num=128", "num=16"),
        ("num=64", "num=2"),
        ("32, 32", "8, 8"),
    ):
        code = code.replace(many, few)
    return code


@pytest.fixture
def compiles_quickly():
    """Without optimisations: what the pages compute is small, and compiling is what takes the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.parametrize("page", PYTHON_PAGES)
@pytest.mark.usefixtures("compiles_quickly")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_of_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = models()
    monkeypatch.setattr(jd, "load", lambda run, *args, **options: known[Path(run).name], raising=False)
    names = names_of(page)
    for block in BLOCKS:
        if block.page == page and block.language == "python" and block.mark is None:
            code = compile("\n" * block.line + smaller(block.code), page, "exec")
            exec(code, names)


@pytest.mark.usefixtures("compiles_quickly")
def test_operator_and_method_of_the_page_do_what_they_say():
    names = names_of("docs/howto.md")
    for block in BLOCKS:
        if block.page == "docs/howto.md" and re.search("EverySecondRow|class Pull", block.code):
            exec(compile(block.code, "howto", "exec"), names)
    assert abs(names["difference"]) < 1e-5
    y = np.random.default_rng(0).normal(size=(4, 4, 1))
    measurement = Measurement(names["EverySecondRow"](), y, noise=0.05)
    options = {
        "shape": (8, 4, 1),
        "num": 64,
        "solver": jd.DPMpp(2, eta=1.0),
        "grid": jd.grids.uniform_lam(jd.Cosine(), 30),
    }
    images = jd.sample(jax.random.key(0), names["Pull"](exact_models.Gaussian(std=1.0), measurement), **options).images
    # White images: the posterior is y with its noise where a row was read, and the prior elsewhere.
    np.testing.assert_allclose(images[:, ::2].mean(0), y, atol=0.1)
    assert 0.8 < images[:, 1::2].std() < 1.2
