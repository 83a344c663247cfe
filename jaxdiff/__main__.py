"""`jaxdiff COMMAND …` and `python -m jaxdiff COMMAND …`."""

from jaxdiff import stopping


def main() -> None:
    """The command that the arguments name; signals are handled before it is imported."""
    stopping.install("jaxdiff")
    from jaxdiff import cli

    cli.main()


if __name__ == "__main__":
    main()
