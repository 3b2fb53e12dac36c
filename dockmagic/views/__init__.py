"""What people look at; every view has a plain text and an HTML form.

Nothing here talks to an engine: a view is made of values and shows them. Begin at view.py.
"""
