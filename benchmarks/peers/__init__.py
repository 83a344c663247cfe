"""The sides of a comparison: each is a process of its own, in its own environment, that answers commands on a pipe.

PyTorch appears in this folder only. The modules of one side import nothing of the other.
"""
