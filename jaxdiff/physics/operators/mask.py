"""Missing pixels."""

from jaxdiff.physics.operators.diagonal import Diagonal


class Mask(Diagonal):
    """x where `weights`, booleans, else 0: dead pixels, saturated ones, holes. Its own pseudo-inverse; its norm is 1."""
