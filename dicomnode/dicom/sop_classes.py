"""SOP Class UIDs that several stages must agree on (DICOM PS3.4 B.5)."""

from __future__ import annotations

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
MULTI_FRAME_WORD_SC = "1.2.840.10008.5.1.4.1.1.7.3"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

RESULT_SOP_CLASSES: dict[str, str] = {
    "seg": SEGMENTATION,
    "sr": COMPREHENSIVE_3D_SR,
    "scores": COMPREHENSIVE_3D_SR,
    "text": ENHANCED_SR,
    "sc": SECONDARY_CAPTURE,
    "predicted": MULTI_FRAME_WORD_SC,
    "predicted_sc": SECONDARY_CAPTURE,
    "kos": KEY_OBJECT_SELECTION,
    "probability": PARAMETRIC_MAP,
    "rejection": KEY_OBJECT_SELECTION,
    "not_performed": ENHANCED_SR,
}
"""Kind of result -> the SOP class that it is sent as."""
