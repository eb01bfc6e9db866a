"""What is said and shown about a result.

    annotated_video    boxes and heatmaps on the clip
    drawing            boxes and heatmaps on one frame
    evidence           report.json and report.html in one download
    evidence_page      the page to hand on
    evidence_template  its HTML and looks
    figures            heatmap and box pictures, data URIs
    files              report files, written and read
    gallery            the most suspicious faces: crop, heatmap, boxes, captions
    rejudging          the same scores at other thresholds, or of one person only
    schema             every field of a report file
    score_plot         a person's score over time, as SVG
    verdicts           face scores -> real, fake, or cannot tell with the reason
    video_report       VideoReport and its JSON
    warnings           what limits a result
    words              what is said about a result

Tests bear the modules' names, except: evidence_template and words: test_evidence_page.py. schema
and video_report: test_files.py. score_plot: test_figures.py. warnings: test_rejudging.py,
detector/test_video_detector.py.
"""
