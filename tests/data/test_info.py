import pytest

from jaxdiff.data.errors import DataError
from jaxdiff.data.info import DataInfo, check_kind

MODEL = DataInfo("ZYXC", ("DAPI", "GFP"), pixel_size={"Z": 1.0, "Y": 0.2, "X": 0.2}, unit="µm")


def test_the_same_kind_says_nothing():
    assert check_kind(MODEL, MODEL, "a.tif") == []
    in_nm = MODEL.replace(pixel_size={"Z": 1000.0, "Y": 201.0, "X": None}, unit="nm", channel_names=("0", "1"))
    assert check_kind(in_nm, MODEL, "a.tif") == []
    assert check_kind(MODEL.replace(dtype="uint8"), MODEL.replace(dtype="float32"), "a.tif") == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pixel_size": {"Z": 1.0, "Y": 0.4, "X": None}}, "1 times in Z, 2 times in Y;"),
        ({"pixel_size": {"Z": 500.0}, "unit": "nm"}, "0.5 times in Z;"),
        ({"dtype": "float32"}, "pixels are float32, those of the model's training uint16"),
        ({"channel_names": ("GFP", "DAPI")}, "named GFP, DAPI, those of the model DAPI, GFP"),
    ],
)
def test_differences_are_told(changes, told):
    (text,) = check_kind(MODEL.replace(**changes), MODEL, "a.tif")
    assert told in text


@pytest.mark.parametrize(
    "info",
    [DataInfo("YXC", ("DAPI", "GFP")), DataInfo("ZYXC"), DataInfo("ZYXC", ("0", "1"), colour=True)],
    ids=["flat", "one channel", "colour"],
)
def test_another_kind_is_refused(info):
    with pytest.raises(
        DataError, match=r"got a.tif with axes .* expected axes ZYX and 2 channel\(s\), as in .* to fix"
    ):
        check_kind(info, MODEL, "a.tif")
