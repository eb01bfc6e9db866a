"""Reports, pages, plots and pictures of a result.

    annotated_video    boxes and heatmaps on the clip
    drawing            boxes and heatmaps on one frame
    evidence           report.json and report.html in one download
    evidence_page      the page to send and print
    face_pictures      crop and heatmap of a face, as PNG
    fields             types and bounds of a report's fields
    figures            heatmap and box pictures, data URIs
    files              report files, written and read
    gallery            the most suspicious faces: crop, heatmap, boxes, captions
    leaning            the way a result without a verdict leans, and what may help
    passages           stretches of time that stand out
    rejudging          judges scored people, at any thresholds, or one person only
    rendering          loads the HTML templates, and the values they share
    schema             head and JSON Schema of a report file
    score_plot         a person's score over time, as SVG
    transport          a report as JSON and arrays, as worker processes send it
    verdicts           face scores -> real, fake, or cannot tell with the reason
    video_report       VideoReport: every field of a report
    warnings           what limits a result
    words              the sentences about a result

Tests bear the modules' names; test_unjudged.py covers what is not shown of people without a
verdict, and bystanders, in all of them. Exceptions: rendering and words: test_evidence_page.py.
face_pictures, fields, schema and video_report: test_files.py, test_files_refusals.py. score_plot:
test_figures.py. warnings: test_rejudging.py, detector/test_video_detector.py.
"""
