"""The Gradio page; app.py starts it. The sentences about limits stand in report/words.py.

    api           endpoints for programs, and tools for language models
    assets        style and scripts: static/, templates/, Gradio's theme
    checks        runs checks in the order of their requests
    downloads     evidence file and annotated video of a result
    examples      makes the example clips
    file_tab      the tabs for one file
    jobs          the jobs that the page runs with a detector
    kept_results  results kept for their visitor
    layout        tabs and their shared parts
    many_tab      the tab for several files
    model_choice  the model that judges
    model_facts   facts about a model that visitors see, and the sensitivities it allows
    moments       the timeline's data on each frame
    player        player and result
    report_tab    the tab that opens a report
    result        a report for people to read
    runners       run the jobs in worker processes or in this one, and check the results
    settings      one set for all tabs
    worker        runs the jobs, with a loaded detector

Tests bear the modules' names, except: checks: test_checks_queue.py, too. model_facts:
test_model_choice.py. api, file_tab, jobs, layout, many_tab, player, report_tab, settings and
worker: integration/test_app.py and, in a browser,
integration/test_app_browser.py.
"""
