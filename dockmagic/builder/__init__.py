"""Dockerfile to image: stages, build cache, steps.

The language is ``dockerfile``'s, layers are ``images``', processes ``runtime``'s. Begin at build.py, which goes through
the others in this order: the request in our own types (options.py), the context (context.py, tartree.py, remote.py,
named.py), planning without running anything (planner.py, graph.py, dispatch.py, transfer.py, config.py; model.py is
what it makes), solving (solver.py) with the cache (cache.py, digests.py), files (files.py, copying.py, destination.py,
unpacking.py) and processes (sandbox.py, mounts.py), and the image (assemble.py, exporters.py, cachetransfer.py).
"""
