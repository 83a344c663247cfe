"""Synthetic nuclei, 32 x 32, four classes.

data    built-in microscope, 4,096 fields rendered at the start; nothing to download
device  two CPU cores
time    3.8 minutes of training by wall clock, 4.2 in all with sampling
result  new fields of nuclei by class; `make demo-train` runs it and samples 64
"""

from jaxdiff.commands.demo_train import config as config
