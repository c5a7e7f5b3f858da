"""Findings -> SEG, SR and SC instances in the source's study: valid, or an :class:`~dicomnode.errors.EncodeError`."""

from dicomnode.encode.case import encode_case
from dicomnode.encode.overview import mask_over_ct, overview_image

__all__ = ["encode_case", "mask_over_ct", "overview_image"]
