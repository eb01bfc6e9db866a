"""A Hub on this machine, for tests that load, publish and fail as on the real one."""
