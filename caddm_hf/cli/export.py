"""`python -m caddm_hf export`: a model's network as a file for ONNX Runtime and OpenVINO.

Only argparse is imported here at first, so that help is there at once.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from ..core.atomic_files import PARTIAL_PREFIX, sync_folder
from ..runtime.names import RUNTIMES

WRONG_USE = 2


def add_export_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command to those of `python -m caddm_hf`."""
    export = commands.add_parser(
        "export",
        help="write a model's network to an ONNX file, which runs faster on a CPU",
        description="Export the network to ONNX and check that it answers like torch. The file "
        "is used by `score` wherever it lies beside the weights, or in the cache.",
        epilog="docs/speed.md tells what is gained.",
    )
    export.add_argument("model", metavar="MODEL", help="model folder or Hub id")
    export.add_argument(
        "output",
        metavar="OUT",
        nargs="?",
        type=Path,
        help="folder, or file ending in .onnx (default: the model's folder; the cache for a "
        "model from the Hub)",
    )
    export.add_argument(
        "--backend",
        choices=RUNTIMES,
        help="runtime that shall be used where both are installed (default: openvino if "
        "installed); either can read the file",
    )
    export.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    int8 = export.add_argument_group("int8")
    int8.add_argument(
        "--int8",
        action="store_true",
        help="quantise the convolutions, and print what that changes in AUC; needs --data",
    )
    int8.add_argument(
        "--data",
        metavar="COLLECTION",
        help="frame collection or folder of videos: some of its videos give the ranges of values, "
        "the AUC is measured on the others",
    )
    int8.add_argument("--split", choices=("test", "validation", "train"), help="of a collection")
    int8.add_argument(
        "--max-videos",
        type=int,
        default=400,
        metavar="N",
        help="look at no more videos, drawn at random, half of each class (default 400)",
    )
    int8.add_argument("--frames", type=int, default=8, metavar="N", help="of a video (default 8)")
    int8.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    export.set_defaults(run=run_export)


def run_export(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status, 2 with one sentence where it cannot be done."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    from ..core.errors import UserError

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity(hub_logging.CRITICAL)
    try:
        _export(options)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return WRONG_USE
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        return WRONG_USE
    return 0


def _export(options: argparse.Namespace) -> None:
    from ..checkpoint.loading import load_model
    from ..core.errors import ModelError
    from ..runtime.backends import installed_runtimes, largest_difference, run_exported
    from ..runtime.export import export_network
    from ..runtime.exported import export_in_cache, export_in_folder, fingerprint, read_exported

    runtimes = installed_runtimes()
    runtime = options.backend or (runtimes[0] if runtimes else None)
    if runtime not in runtimes:
        raise ModelError(
            f"{runtime or 'Neither runtime'} is not installed, or the package onnx is not: "
            "pip install -r requirements-backends.txt."
        )
    if options.int8 != (options.data is not None):
        raise ModelError("--int8 and --data go together.")
    if options.int8 and "onnx" not in runtimes:
        raise ModelError("Quantising needs onnxruntime: pip install -r requirements-backends.txt.")
    if options.max_videos < 4 or options.frames < 1:
        raise ModelError("--max-videos must be at least 4, --frames at least 1.")
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
        new.replace(path)  # only now: an export that answers like torch
    sync_folder(path.parent)
    print(path)
    print(f"largest difference from torch in {runtime}: {largest_difference(network, loaded):.1e}")
    if options.int8:
        from ..evaluation.int8 import auc_change

        print(auc_change(loaded, network, measured, options.frames, options.seed))
