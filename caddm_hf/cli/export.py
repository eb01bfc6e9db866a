"""`python -m caddm_hf export`: a model's network as a file for ONNX Runtime and OpenVINO."""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..core.atomic_files import PARTIAL_PREFIX, sync_folder
from ..core.options import MOST, option
from ..dataset.splits import SPLITS
from ..runtime.names import RUNTIMES
from .arguments import add_options, read_options, run_quietly

INT8 = "int8"


@dataclass(kw_only=True)
class ExportOptions:
    """Options of `export`."""

    model: str = option("model folder or Hub id", positional=True, metavar="MODEL")
    output: Path | None = option(
        "folder, or file ending in .onnx (default: the model's folder; the cache for a model from "
        "the Hub)",
        None,
        positional=True,
        metavar="OUT",
    )
    backend: str | None = option(
        "runtime to use where both are installed (default: openvino if installed); either can "
        "read the file",
        None,
        choices=RUNTIMES,
    )
    revision: str | None = option("branch, tag or commit of the model on the Hub", None)
    int8: bool = option(
        "quantise the convolutions, and print the change in AUC; needs --data",
        False,
        group=INT8,
    )
    data: str | None = option(
        "frame collection or folder of videos: some videos supply the ranges of values, the AUC "
        "is measured on the others",
        None,
        metavar="COLLECTION",
        group=INT8,
    )
    split: str | None = option("split of the collection", None, choices=SPLITS, group=INT8)
    max_videos: int = option(
        "use at most N videos, drawn at random, half of each class (default 400)",
        400,
        low=4,
        high=MOST,
        metavar="N",
        group=INT8,
    )
    frames: int = option("per video (default 8)", 8, low=1, high=4096, metavar="N", group=INT8)
    seed: int = option("of the random choice (default 0)", 0, metavar="N", group=INT8)


def add_export_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command to those of `python -m caddm_hf`."""
    parser = commands.add_parser(
        "export",
        help="write a model's network to an ONNX file, which runs faster on a CPU",
        description="Export the network to ONNX and compare its output with torch. `score` uses "
        "the file if it is beside the weights or in the cache.",
        epilog="docs/speed.md has the measured speeds.",
    )
    add_options(parser, ExportOptions)
    parser.set_defaults(
        run=lambda found: run_quietly(lambda: _export(read_options(ExportOptions, found)))
    )


def _export(options: ExportOptions) -> None:
    from ..checkpoint.loading import load_model
    from ..core.errors import ModelError
    from ..runtime.backends import installed_runtimes, largest_difference, run_exported
    from ..runtime.export import export_network
    from ..runtime.exported import export_in_cache, export_in_folder, fingerprint, read_exported

    runtimes = installed_runtimes()
    runtime = options.backend or (runtimes[0] if runtimes else None)
    if runtime not in runtimes:
        raise ModelError(
            f"{runtime or 'Neither runtime'} is not installed, or onnx or onnxslim is not: "
            "pip install -r requirements-backends.txt."
        )
    if options.int8 != (options.data is not None):
        raise ModelError("--int8 and --data go together.")
    if options.int8 and "onnx" not in runtimes:
        raise ModelError("Quantising needs onnxruntime: pip install -r requirements-backends.txt.")
    loaded = load_model(options.model, options.revision)
    model_fingerprint = fingerprint(loaded)
    output = options.output
    if output is None and not Path(options.model).is_dir():
        path = export_in_cache(model_fingerprint, options.int8)
    elif output is not None and output.suffix == ".onnx":
        path = output
    else:
        path = export_in_folder(output or Path(options.model), options.int8)
    crops = None
    if options.int8:
        from ..evaluation.int8 import divided_data, ranging_crops

        ranging, measured = divided_data(
            options.data, options.split, options.frames, options.max_videos, options.seed
        )
        crops = ranging_crops(loaded, ranging, options.frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=PARTIAL_PREFIX) as folder:
        new = Path(folder) / path.name
        export_network(loaded, new, model_fingerprint, runtime, crops)
        exported = read_exported(new, loaded, model_fingerprint)
        network = run_exported(exported, runtime, loaded)
        new.replace(path)  # only now that the export was checked against torch
    sync_folder(path.parent)
    print(path)
    print(f"largest difference from torch in {runtime}: {largest_difference(network, loaded):.1e}")
    if options.int8:
        from ..evaluation.int8 import auc_change

        print(auc_change(loaded, network, measured, options.frames, options.seed))
