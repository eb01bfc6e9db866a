"""Backends that run the network.

    backends  open the network in torch, ONNX Runtime or OpenVINO
    export    a model -> an ONNX file, in float32 or int8
    exported  an ONNX file, checked before it is run
    names     the names of the backends, quick to import for --help
    network   CropNetwork, and its implementation in torch
    zero_gpu  a GPU borrowed for each call, on a Space

Tests bear the modules' names, except: export, names and network: test_backends.py,
cli/test_export.py.
"""
