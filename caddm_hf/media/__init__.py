"""A file or address of a stranger -> upright frames."""
