"""Numbers from trials: progress, curves, importance, slices, isolation, noise and comparisons. No prose.

Each module stands for itself: ``rows`` (one row a configuration), ``curves``, ``trend`` (one curve), ``anova`` and
``importance``, ``slices``, ``isolation``, ``bootstrap`` (best of n), ``noise``, ``compare``.
"""
