"""A model folder: read, made, converted, published.

    bundled   the folder of the model that serves when none is named
    card      the page of a trained model
    convert   the authors' checkpoint -> a model folder
    files     the files of a model, checked before they are loaded
    imagenet  ImageNet weights, by an explicit call
    loading   folder or Hub id -> a model and its image processor
    publish   the finished folder and its way to the Hub

Tests bear the modules' names, except: bundled: integration/test_bundled_model.py. card:
integration/test_training_hub.py. loading: test_files.py, test_hub_faults.py.
"""
