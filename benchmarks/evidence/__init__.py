"""How good generated images are: BBBC039 samples against held-out real crops, a floor, and controls that must fail.

`python -m benchmarks.evidence.choose` chooses the segmentation on dev, once; `python -m benchmarks.evidence` measures.
Arrays of crops are (N, Y, X): one channel, grey levels (int64) or network units (float32).
"""
