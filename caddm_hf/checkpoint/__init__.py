"""A model folder: read, made, converted, published."""
