"""Images at rest: references, manifests, configs, layers as tars, content store, snapshots, registries, archives.

Nothing here runs a process or knows a Dockerfile. Begin at protocols.py, then store.py.
"""
