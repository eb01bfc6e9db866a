"""Video in, report out.

    config          DetectionConfig: how videos are looked at
    guarded         the detector in a process that may die
    pipeline        the task of transformers' pipelines
    provenance      which file, model and settings a report rests on
    reporting       what was seen and scored -> a judged report
    scoring         crops -> scores, maps, boxes; in batches while faces are sought
    second_look     which moments of a long clip are looked at more closely
    threads         threads in which torch computes on one core each
    video_detector  VideoDetector

Tests bear the modules' names, except: config, pipeline and scoring:
test_video_detector.py. provenance: report/test_evidence.py. threads: media/test_prefetch.py.
"""
