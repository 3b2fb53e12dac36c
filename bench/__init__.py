"""Measured ratios, in one run on one machine: ``make bench``. Absolute times travel badly; compare columns."""
