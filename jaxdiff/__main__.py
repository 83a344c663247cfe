"""`python -m jaxdiff COMMAND …`."""

from jaxdiff.cli import main

main()
