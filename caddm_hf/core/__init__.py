"""Basics that every package may use: atomic files, errors, heartbeats.

    atomic_files    files and folders that are complete or absent
    errors          UserError, whose message is one sentence for the user; first line of any error
    formats         moments and probabilities as text
    hub_ids         the form of a repository's name on the Hub
    import_hooks    code that runs after another module is imported
    liveness        heartbeats of long work, and where it can be stopped
    memory          returns freed memory to the system
    options         options of a command as the fields of a dataclass
    random_streams  a stream of random numbers for each use
    versions        versions of installed packages

Tests bear the modules' names, except: atomic_files and errors: reliability/test_faults_disk.py.
formats: report/test_figures.py. hub_ids: checkpoint/test_files.py. options: cli/test_arguments.py.
"""
