"""What is done at each call that stops, by family. Each module's ``handlers(guest)`` gives a table by call name.

A handler answers the call itself wherever no kernel is needed (one stop), else it puts the host's path in the place of
the container's and lets the call run.
"""
