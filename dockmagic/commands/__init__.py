"""Docker's command tree, one file a noun; the same tree serves the magics and the ``dockmagic`` program.

A command calls docker-py and returns a view. Nothing here knows of cells (``notebook``) or of how the engine works.
Begin at tree.py.
"""
