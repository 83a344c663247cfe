"""Train a diffusion model: `python train.py CONFIG [--check] [--option value …]`; the same command resumes."""

import sys

from jaxdiff import stopping

if __name__ == "__main__":
    stopping.install("train.py")
    from jaxdiff import cli, script

    script.script(cli.COMMANDS["train"], sys.argv[1:], "train.py")
