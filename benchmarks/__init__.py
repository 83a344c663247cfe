"""Measurements: `python -m benchmarks` lists them; each writes benchmarks/results/NAME.json.

A benchmark is a module, or a package with a `__main__`, that hands `command` its parts: functions of their options. Results
go through a `Store`, tables and sections of pages through `report`. A part is one file: options, measurement, tables.
"""
