"""Teaches the reader of whole heads (``zoo/networks/head_reader.py``) what is painted in them."""
