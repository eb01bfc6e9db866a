"""The parts of a training run; train_accelerate.py puts them together.

    arguments       the command line
    checkpoints     checkpoints and weight average
    checks          which options go together
    config          every option
    contact_sheet   a picture of training samples
    data            both splits, opened and checked
    depthwise       bfloat16 convolutions on a CPU with better gradients
    plan            which rows an epoch draws, and the kind of sample made of each
    samples         a drawn row -> a training sample; loaders
    schedule        the learning rate of every step
    setup           accelerator and model
    stream          samples from rows read as a stream
    validation      scores and metrics of the validation split

Tests bear the modules' names, except: checks: test_arguments.py. config: test_schedule.py,
test_arguments.py. validation: integration/test_training_distributed.py.
"""
