"""Findings -> SEG, SR and SC instances in the study of the source; :mod:`dicomnode.encode.case` begins it."""
