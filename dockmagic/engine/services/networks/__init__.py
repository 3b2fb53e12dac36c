"""Networks: what users make (registry.py), containers on them (endpoints.py), their names (dns.py).

The kernel's side is dockmagic.runtime.networks; here are the records, the addresses and Docker's rules.
"""
