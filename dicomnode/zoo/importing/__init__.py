"""Bundles of others: unpacked, read, tried, converted, pinned."""
