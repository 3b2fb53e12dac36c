"""A spec in, a running process out: tiers, the probe, zygote and shims, terminals.

Nothing here knows images or HTTP. Begin at spec.py and protocols.py.
"""
