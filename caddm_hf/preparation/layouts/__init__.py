"""How data sets lie on a disk, one file for each."""
