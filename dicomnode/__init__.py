"""A DICOM node: head CT in from scanners and PACS, SEG, SR and SC out. Research, not for diagnosis."""

__version__ = "0.1.0"
