"""What every package may use: whole files, errors, signs of life."""
