"""The rows of invented and missed nuclei: a denoiser that plants and removes objects is found out, against both truths."""

import numpy as np

from benchmarks.tasks import hallucinations
from benchmarks.tasks.fields import Field


def test_what_one_sample_plants_and_another_removes_is_in_the_rates_of_samples():
    truth = np.zeros((40, 60), np.int32)
    for number, x in enumerate((2, 14, 26, 38), 1):
        truth[4:12, x : x + 8] = number
    planted, removed = truth.copy(), np.where(truth == 2, 0, truth)
    planted[24:32, 20:28] = 9
    field, blank = Field("f", "A01", truth, truth), 0 * truth
    empty = Field("g", "B01", blank, blank)
    rates = hallucinations.compared(
        {"segmented": [truth, blank], "drawn": [removed, blank]}, [[planted, removed], [planted, blank]], [field, empty]
    )
    # Two samples of four true objects each: one of eight is invented, one missed.
    assert rates["segmented"]["invented"]["value"] == rates["segmented"]["invented_apart"]["value"] == 1 / 8
    assert rates["segmented"]["missed"]["value"] == rates["segmented"]["missed_apart"]["value"] == 1 / 8
    # Of three drawn ones each: the planted one and what is drawn by nobody are invented in the first sample.
    assert rates["drawn"]["invented"] == {"value": 2 / 6, "low": 2 / 6, "high": 2 / 6}
    assert rates["drawn"]["missed"]["value"] == 0
    assert rates["segmented"]["in_blank"] == 2.5  # five in one sample, none in the other
    alone = hallucinations.compared({"segmented": [truth]}, [[planted]], [field])
    assert alone["segmented"]["in_blank"] is None


def test_the_table_has_a_row_for_each_image_and_says_what_was_not_measured():
    assert hallucinations.markdown({}) == ["Not measured yet."]
    rates = {rate: {"value": 0.125, "low": 0.1, "high": 0.2} for rate in hallucinations.COLUMNS}
    row = {"segmented": rates | {"in_blank": 2.5}, "drawn": rates | {"in_blank": None}}
    entry = {
        "rows": [{"photons": None, "method": "clean"} | row]
        + [{"photons": 10, "method": name} | row for name in ("noisy", "samples", "mean")],
        "settings": {"samples": 4},
        "true": {"segmented": 40, "drawn": 38},
        "fields": ["f"],
        "machine": {"date": "2026-01-01T00:00", "processor": "x", "cores": 1},
    }
    text = "\n\n".join(hallucinations.markdown({"hallucinations": {"dev, 1 fields": entry}}))
    assert text.count("| 10 | **diffusion**, each of 4 samples | 12.5 [10.0, 20.0] |") == 2
    assert text.count("| 2.5 |") == 3
    assert text.count("| none |") == 4
    assert text.count("the clean field |") == 1  # against itself it says nothing
    assert "(40 nuclei)" in text
    assert "(38 nuclei)" in text
