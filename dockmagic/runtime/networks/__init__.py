"""Networks of the namespaces tiers: bridges, a network namespace for each container, published ports.

Privileged: bridges on the machine itself, addresses hidden behind its own (masquerade by nftables). Rootless: one
network namespace shared by all networks, with the same bridges in it; a relay outside it serves published ports and
carries TCP connections outward. Begin at service.py (:class:`Networks`); netlink.py and nftables.py speak to the
kernel, relay.py is the process that forwards, addresses.py chooses subnets and addresses, spaces.py holds namespaces.

Nothing here remembers: the engine's records are the truth, and making what is there already is no error.
"""
