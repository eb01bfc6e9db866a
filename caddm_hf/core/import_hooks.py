"""Run code after another module is imported, without importing that module."""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable


def run_after_import(name: str, action: Callable[[], None]) -> None:
    """Call a function as soon as a module is imported; at once if it is already.

    Args:
        name: the module's full name.
        action: runs once, after the module's own code.
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Watcher(name, action))


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds no module itself; adds the action to the loader of the one that is watched."""

    def __init__(self, name: str, action: Callable[[], None]):
        self.name = name
        self.action = action

    def find_spec(self, fullname, path, target=None):
        """Return the spec that the other finders have for the watched module."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_act(module) -> None:
            execute(module)
            self.action()

        spec.loader.exec_module = execute_and_act
        return spec
