"""Learns the anatomical frame (``dicomnode.measure.anatomy``) from procedural heads."""
