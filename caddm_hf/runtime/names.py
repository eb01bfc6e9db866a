"""The names of the backends, apart from `runtime.backends` so that help is there at once."""

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
    """Return the help of a `--backend` option."""
    return (
        "what computes the network: torch, onnx or openvino (auto: the fastest that is "
        f"installed), or one of {', '.join(name for name in BACKENDS if '-' in name)}"
    )
