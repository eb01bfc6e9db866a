"""caddm_hf.core.versions."""

import platform

import numpy as np

from caddm_hf.core.versions import installed_versions


def test_packages_that_are_not_installed_are_left_out():
    found = installed_versions(("numpy", "no-such-package"))
    assert found == {"python": platform.python_version(), "numpy": np.__version__}
