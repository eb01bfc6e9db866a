"""What computes the network.

    backends  torch, ONNX Runtime or OpenVINO: opens the network asked for
    export    a model -> an ONNX file, in float32 or int8
    exported  an ONNX file, checked before it is run
    names     the names of the backends, light enough for --help
    network   CropNetwork, and the one that torch computes
    zero_gpu  a GPU lent for each call, on a Space

Tests bear the modules' names, except: export, names and network: test_backends.py,
cli/test_export.py.
"""
