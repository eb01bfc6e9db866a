"""Reading, converting, writing and publishing model folders.

    bundled   the folder of the default model
    card      the model card of a trained model
    convert   the authors' checkpoint -> a model folder
    files     the files of a model, checked before they are loaded
    imagenet  load ImageNet weights into a backbone
    loading   folder or Hub id -> a model and its image processor
    publish   write the folder of a trained model and push it to the Hub

Tests bear the modules' names, except: bundled: integration/test_bundled_model.py. card:
integration/test_training_hub.py. loading: test_files.py, test_hub_faults.py.
"""
