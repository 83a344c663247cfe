"""What the command line does: one file a command, its options and what it writes. Functions of arrays: `jaxdiff.tasks`."""
