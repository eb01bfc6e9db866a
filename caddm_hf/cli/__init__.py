"""The commands of `python -m caddm_hf`."""
