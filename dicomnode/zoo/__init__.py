"""The models: MONAI bundles pinned by digest, and what runs them on one CT volume.

``bundle``, ``registry`` and ``head_check`` never import torch; ``runner`` does.
"""
