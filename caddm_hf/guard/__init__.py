"""Work in processes that may die.

    child    what runs in a worker process
    engines  many jobs on the cores of this machine or on a Ray cluster
    limits   what a worker may cost, and how a job can end other than with an answer
    pool     GuardedWorkers: strangers' files in worker processes
    process  one worker, seen from the process that guards it

Tests bear the modules' names, except: child and limits: test_pool.py, test_process.py.
"""
