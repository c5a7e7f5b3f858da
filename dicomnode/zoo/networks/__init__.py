"""Layers and records that the networks of several models share."""
