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
