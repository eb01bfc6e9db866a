"""Registers the model with transformers: importing this makes the Auto classes know CADDM.

`AutoConfig`, `AutoModelForImageClassification` and `AutoImageProcessor` then load it without
`trust_remote_code`. This file does not travel to the Hub, and `model/__init__.py` does not import
it: face alignment is needed where nothing of torch is.
"""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from .configuration_caddm import CaddmConfig
from .image_processing_caddm import CaddmImageProcessor
from .modeling_caddm import CaddmForDeepfakeDetection, CaddmOutput

__all__ = ["CaddmConfig", "CaddmForDeepfakeDetection", "CaddmImageProcessor", "CaddmOutput"]

AutoConfig.register(CaddmConfig.model_type, CaddmConfig, exist_ok=True)
AutoModelForImageClassification.register(CaddmConfig, CaddmForDeepfakeDetection, exist_ok=True)
AutoImageProcessor.register(
    CaddmConfig, image_processor_classes={"pil": CaddmImageProcessor}, exist_ok=True
)
