"""The two namespaces tiers, privileged and rootless: the same code, told apart by what the user namespace allows.

Begin at tier.py (what the shim calls), then container.py, which reads from top to bottom in the order in which a
process becomes a container's. A job a file: mounts, devices, ids, capabilities, seccomp, command, console.
"""
