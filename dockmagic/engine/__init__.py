"""The daemon: its process, the HTTP server, one route file a noun, services, the database.

A route parses, calls one service and shapes the answer; services know no HTTP. Begin at main.py.
"""
