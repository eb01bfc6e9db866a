"""Code that runs after another module is imported."""

import subprocess
import sys

import pytest

from caddm_hf.core.import_hooks import run_after_import


def test_the_action_follows_the_module_it_waits_for(tmp_path, monkeypatch):
    (tmp_path / "made_module.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    seen = []
    run_after_import("made_module", lambda: seen.append(sys.modules["made_module"].VALUE))
    assert seen == []
    import made_module

    assert seen == [made_module.VALUE]
    run_after_import("made_module", lambda: seen.append(2))
    assert seen == [1, 2]


def test_a_module_that_does_not_exist_is_still_missing():
    run_after_import("no_such_module_here", lambda: None)
    with pytest.raises(ModuleNotFoundError):
        import no_such_module_here  # noqa: F401


@pytest.mark.parametrize(
    "imports",
    ["import caddm_hf; import transformers.pipelines", "import transformers.pipelines, caddm_hf"],
)
def test_the_pipeline_knows_the_task_after_importing_the_package(imports):
    code = (
        f"{imports}\n"
        "from transformers.pipelines import PIPELINE_REGISTRY\n"
        "assert 'video-deepfake-detection' in PIPELINE_REGISTRY.get_supported_tasks()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_alone_imports_nothing_heavy():
    code = "import sys, caddm_hf; assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
