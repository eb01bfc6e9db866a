"""Crops that are forged or degraded on purpose."""
