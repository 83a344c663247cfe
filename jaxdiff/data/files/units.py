"""Lengths and their units, as OME and ImageJ write them.

The spellings are those of UnitsLength in the OME schema (2016-06), and what microscopes write in their place.
"""

import math
from collections.abc import Mapping

MICROMETRES = {"µm": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6, "Å": 1e-4}
"""Units that sizes are kept in, in micrometres; sizes in others become micrometres."""

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3,
    "µ": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
_INCH = 25400.0
_LONGER = {
    "thou": _INCH / 1000,
    "li": _INCH / 12,  # a line
    "in": _INCH,
    "ft": 12 * _INCH,
    "yd": 36 * _INCH,
    "mi": 5280 * 12 * _INCH,
    "pt": _INCH / 72,
    "ua": 149597870700e6,  # an astronomical unit
    "ly": 9460730472580800e6,
    "pc": 648000 / math.pi * 149597870700e6,
}
_LENGTHS = {f"{prefix}m": 10.0 ** (6 + power) for prefix, power in _PREFIXES.items()} | _LONGER | MICROMETRES
_NAMES = {
    "µm": ("um", "\u03bcm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres", "\\u00B5m",
           "\\u00b5m", "\u00c2\u00b5m"),
    "nm": ("nanometer", "nanometers", "nanometre", "nanometres"),
    "mm": ("millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("centimeter", "centimeters", "centimetre", "centimetres"),
    "m": ("meter", "meters", "metre", "metres"),
    "Å": ("\u212b", "A\u030a", "angstrom", "angstroms"),
    "in": ("inch", "inches"),
}  # fmt: skip
_SPELLINGS = {spelling: unit for unit, spellings in _NAMES.items() for spelling in spellings}
NO_LENGTH = ("", "pixel", "pixels", "reference frame")
"""Units that say that no length is known."""


def one_unit(sizes: Mapping[str, tuple[str, str]]) -> tuple[dict[str, float], str | None, list[str]]:
    """Sizes by axis, texts (number, unit), in one unit: that of the file where all axes have the same, µm otherwise.

    What is no positive number, or has no known unit, is unknown; the last value says so, one sentence each.
    """
    parsed: dict[str, tuple[float, str]] = {}
    notes = []
    for axis, (text, unit) in sizes.items():
        unit = unit.strip()
        unit = _SPELLINGS.get(unit, _SPELLINGS.get(unit.lower(), unit))
        try:
            size = float(text)
        except ValueError:
            size = math.nan
        if not 0 < size < math.inf:
            notes.append(
                f"pixel size {axis} {text!r} {unit}, which is no positive number, is taken as unknown".replace(
                    "  ", " "
                )
            )
        elif unit in _LENGTHS and math.isfinite(size * _LENGTHS[unit]) and size * _LENGTHS[unit] > 0:
            parsed[axis] = size, unit
        elif unit not in NO_LENGTH:
            notes.append(f"pixel size {axis} {text} of unit {unit!r}, which is no known length, is taken as unknown")
        elif unit:
            notes.append(f"pixel size {axis} in units of the {unit} is taken as unknown")
        else:
            notes.append(f"pixel size {axis} {text} without a unit is taken as unknown")
    units = {unit for _, unit in parsed.values()}
    if len(units) == 1 and units <= set(MICROMETRES):
        return {axis: size for axis, (size, _) in parsed.items()}, units.pop(), notes
    return {a: size * _LENGTHS[unit] for a, (size, unit) in parsed.items()}, "µm" if parsed else None, notes
