"""Manifest -> training, cross-validation, evaluation, calibration and one report: one way for every model of the zoo.

What is particular to a model, its learner says (:mod:`dicomnode.train.learner`). Needs the extra ``[train]``. Networks
and windows live in ``zoo``; nothing here defines a network.
"""
