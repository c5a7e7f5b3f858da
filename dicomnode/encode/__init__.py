"""Findings -> SEG, SR and SC instances in the source's study: valid, or an :class:`~dicomnode.errors.EncodeError`."""

from dicomnode.encode.case import encode_case
from dicomnode.encode.keys import encode_rejection
from dicomnode.encode.overview import mask_over_ct, overview_image
from dicomnode.encode.refusal import encode_refusal

__all__ = ["encode_case", "encode_refusal", "encode_rejection", "mask_over_ct", "overview_image"]
