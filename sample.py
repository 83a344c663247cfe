"""Sample from a trained run: `python sample.py generate --run runs/demo --num 64 --out samples/demo`."""

import sys

from jaxdiff import stopping

if __name__ == "__main__":
    stopping.install("sample.py")
    from jaxdiff import cli, script

    script.script(cli.COMMANDS["sample"], sys.argv[1:], "sample.py")
