"""From files to batches: readers, normalisation, splits, patches, loader, and the way back to files.

An image is (*spatial, channels) everywhere, "YXC" or "ZYXC", in the dtype of its file; a record is a dict with
"image", perhaps "mask" (*spatial) and "label", and "name". Nothing here is imported by `import jaxdiff`.
"""
