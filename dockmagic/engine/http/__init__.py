"""HTTP/1.1 on a unix socket, as Docker's clients speak it: keep-alive, chunked bodies, hijacked connections.

Nothing here knows Docker's nouns. Begin at server.py; a route takes a ``Request`` and returns one of response.py's
answers.
"""
