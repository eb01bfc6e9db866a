"""Measuring a model.

    calibration       temperature, bias and thresholds from a validation collection
    data              open the data to measure on: videos or rows
    faces             the largest face of pictures and videos without landmarks
    false_alarms      how many genuine pictures are called fake
    figures           figures from a scores table
    identity_probe    how much identity information the features contain
    int8              the change in AUC caused by int8
    localisation      whether the heatmap points at the forgery
    measure_heatmaps  localisation, from options to report
    measure_identity  identity probe, from options to report
    models            the measured models, with their calibration and thresholds
    options           the options of the commands
    output            JSON, plot and card section of a measurement
    picture_rows      genuine rows and their points, for measurements on pictures
    plots             the plot of each measurement
    robustness        AUC on distorted crops, compared with clean ones
    runs              the commands, from options to files
    score_table       the scores table, one row per frame
    scoring           scores of every frame, computed once; resumable
    sections          the text of each measurement

Tests bear the modules' names, except: int8: cli/test_export.py. options: cli/test_arguments.py.
models, output, plots, runs and
sections: cli/test_evaluate.py, cli/test_evaluate_refusals.py. false_alarms, measure_heatmaps,
measure_identity and picture_rows: cli/test_measurement_commands.py. score_table and
scoring: test_data.py, test_figures.py, cli/test_evaluate.py.
"""
