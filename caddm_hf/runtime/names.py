"""The names of the backends, separate from `runtime.backends` so that `--help` is fast."""

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


def describe_backends() -> str:
    """Return the help text of the option `--backend`."""
    return (
        "runtime of the network: torch, onnx or openvino (auto: the fastest that is "
        f"installed), or one of {', '.join(name for name in BACKENDS if '-' in name)}"
    )
