"""`python -m jaxdiff COMMAND …`."""

from jaxdiff import stopping

stopping.install("jaxdiff")

from jaxdiff.cli import main  # noqa: E402

main()
