"""The tracer tier: containers where nothing but ptrace and seccomp filters is allowed.

A small process (supervisor.py) traces the container's processes. A seccomp filter (filter.py) stops them only at calls
that name paths, identities or socket addresses; the handlers answer those themselves or put the host's path in the
place of the container's, and all other calls run untouched. What a container sees where is namespace.py and
resolver.py, which know nothing of ptrace.

No isolation: the container shares the host's processes, network and kernel, and paths can be raced. It gives a
container's view, not a container's walls. Begin at tier.py.
"""
