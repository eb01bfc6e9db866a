"""Collections of frames: schema, opening, rows."""
