"""Containers: their records, their settings, their life.

Begin at record.py (what is kept), then create.py and life.py (what happens); the other files are one reason each.
"""
