"""The Dockerfile language: text in, objects out, no I/O.

Lines and heredocs become a tree (parser.py), the tree typed instructions (instructions.py), words are expanded
(shell.py); checks, ``.dockerignore`` rules and git references are here too. Nothing is built here.
"""
