"""Measuring a model.

    calibration       temperature, bias and thresholds from a validation collection
    data              what is measured: videos or rows, opened
    faces             the largest face of pictures and videos without landmarks
    false_alarms      how many genuine pictures are called fake
    figures           figures from a scores table
    identity_probe    how much of *who* is in the features
    int8              what int8 costs
    localisation      whether the heatmap points at the forgery
    measure_heatmaps  localisation, from options to report
    measure_identity  identity probe, from options to report
    models            the models that are measured, with what they ship
    options           what the commands take
    output            JSON, plot and card section of a measurement
    picture_rows      genuine rows and their points, for measurements on pictures
    plots             the plot of each measurement
    robustness        distorted against clean
    runs              what the commands start
    score_table       the scores table, one row a frame
    scoring           scores of every frame, once, resumable
    sections          the words of each measurement

Tests bear the modules' names, except: int8: cli/test_export.py. options: cli/test_arguments.py.
models, output, plots, runs and
sections: cli/test_evaluate.py, cli/test_evaluate_refusals.py. false_alarms, measure_heatmaps,
measure_identity and picture_rows: cli/test_measurement_commands.py. score_table and
scoring: test_data.py, test_figures.py, cli/test_evaluate.py.
"""
