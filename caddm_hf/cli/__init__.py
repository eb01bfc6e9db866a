"""The commands of `python -m caddm_hf`.

    arguments   what all command lines share: parser, types, exit statuses
    evaluate    options of evaluate, calibrate and probe-identity
    export      a network as a file
    main        the parser of all commands
    options     the options of score
    score       many files in, one line each out
    score_many  the same on all cores or a Ray cluster, into a folder

Tests bear the modules' names, except: main: test_score.py, test_evaluate_refusals.py. options:
test_score_many.py.
"""
