"""Findings -> SEG, SR and SC instances in the source's study: valid, or an :class:`~dicomnode.errors.EncodeError`."""

from dicomnode.encode.case import encode_case
from dicomnode.encode.kinds.kos import encode_rejection
from dicomnode.encode.kinds.not_performed import encode_refusal
from dicomnode.encode.pictures.overview import mask_over_ct, overview_image

__all__ = ["encode_case", "encode_refusal", "encode_rejection", "mask_over_ct", "overview_image"]
