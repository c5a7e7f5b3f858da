"""Manifest -> training, cross-validation, evaluation and one report: one path for every model of the zoo.

Needs the extra ``[train]``. Networks, losses and windows live in ``zoo``; nothing here defines a network.
"""
