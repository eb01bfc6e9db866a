"""A pool of worker processes that read strangers' files, and may die of them.

    child     the code that runs in a worker process
    engines   many jobs on the cores of this machine or on a Ray cluster
    limits    what a worker may cost, and how a job can end without an answer
    messages  what a worker sends: JSON and arrays, never pickles
    pool      WorkerPool: workers that are started when needed and replaced when lost
    process   one worker process, seen from its parent

Tests bear the modules' names, except: child and limits: test_pool.py, test_process.py.
"""
