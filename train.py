"""Train a diffusion model: `python train.py CONFIG [--check] [--option value …]`; the same command resumes."""

import sys

from jaxdiff import cli

if __name__ == "__main__":
    cli.script(cli.train, sys.argv[1:], "train.py")
