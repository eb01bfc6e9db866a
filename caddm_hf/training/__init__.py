"""The parts of a training run; train_accelerate.py puts them together.

    checkpoints    checkpoints and weight average
    checks         which options go together
    config         every option
    contact_sheet  a picture of what training sees
    data           both splits, opened and checked
    depthwise      bfloat16 convolutions on a CPU with better gradients
    plan           which rows an epoch draws, and what is made of each
    samples        a drawn row -> a training sample; loaders
    schedule       the learning rate of every step
    setup          accelerator and model
    stream         samples from rows read as a stream
    validation     scores and metrics of the validation split

Tests bear the modules' names, except: plan: test_samples.py. data: dataset/test_genuine.py,
integration/test_train_accelerate.py. checks, config, contact_sheet and schedule:
integration/test_train_accelerate.py. stream and validation:
integration/test_training_distributed.py.
"""
