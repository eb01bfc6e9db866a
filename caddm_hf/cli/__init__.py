"""The commands of `python -m caddm_hf`.

    evaluate    options of evaluate, calibrate and probe-identity
    export      a network as a file
    main        the parser of all commands
    options     options of many videos, and --backend
    score       many files in, one line each out
    score_many  the same on all cores or a Ray cluster, into a folder

Tests bear the modules' names, except: main: test_score.py, test_evaluate_refusals.py. options:
test_score_many.py.
"""
