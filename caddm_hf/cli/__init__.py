"""The commands of `python -m caddm_hf`.

    arguments   shared by all commands: parser, types, exit statuses
    evaluate    the commands evaluate, calibrate and probe-identity
    export      write a network to a file
    main        the parser of all commands
    options     the options of score
    score       judge files and print one line for each
    score_many  the same on all cores or a Ray cluster, into a folder

Tests bear the modules' names, except: main: test_score.py, test_evaluate_refusals.py. options:
test_score_many.py.
"""
