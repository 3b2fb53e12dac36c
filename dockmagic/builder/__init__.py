"""Dockerfile to image: stages, build cache, steps.

The language is ``dockerfile``'s, layers are ``images``', processes ``runtime``'s. Begin at build.py.
"""
