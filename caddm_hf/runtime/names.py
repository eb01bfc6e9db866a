"""The names of the backends, apart from `inference_backends` so that help is there at once."""

import argparse

RUNTIMES = ("onnx", "openvino")
INT8_SUFFIX = "-int8"
TORCH_PRECISIONS = ("torch-fp32", "torch-bf16", "torch-fp16")
BACKENDS = (
    "auto",
    "torch",
    *TORCH_PRECISIONS,
    *RUNTIMES,
    *(runtime + INT8_SUFFIX for runtime in RUNTIMES),
)


def add_backend_option(parser: argparse._ActionsContainer) -> None:
    """`--backend`, which `inference_backends.open_network` understands."""
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        metavar="NAME",
        help="what computes the network: torch, onnx or openvino (auto: the fastest that is "
        f"installed), or one of {', '.join(n for n in BACKENDS if '-' in n)}",
    )
