"""The model: six files that travel to the Hub with the weights, and what registers it here.

The six import each other and libraries, nothing else: a model repository's custom code must be
flat. Their copies in checkpoints/caddm-lite0 are equal to the byte. Nothing is imported here, so
that face alignment comes without torch.

    configuration_caddm     CaddmConfig: all the weights need
    modeling_caddm          backbone -> artifact detection module -> heads
    multibox                anchors, matching, box coding, losses
    image_processing_caddm  frame and five points -> pixel_values
    face_alignment          five points -> warp matrix, for serving and training alike
    heatmaps                anchor scores -> heatmap and artifact boxes
    auto_classes            makes transformers' Auto classes know CADDM; does not travel

Tests bear the modules' names, except: auto_classes: integration/test_hub_round_trip.py.
"""
