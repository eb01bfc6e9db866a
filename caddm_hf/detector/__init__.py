"""Video in, report out.

    config          DetectionConfig: settings of the detector
    guarded         the detector in a guarded worker process
    pipeline        the task of transformers' pipelines
    provenance      the file, model and settings behind a report
    reporting       tracked faces and their scores -> a judged report
    scoring         crops -> scores, maps, boxes; in batches, during the face search
    second_look     which moments of a long clip are sampled more densely
    threads         threads in which torch uses one core each
    video_detector  VideoDetector

Tests bear the modules' names, except: config, pipeline and scoring:
test_video_detector.py. provenance: report/test_evidence.py. threads: media/test_prefetch.py.
"""
