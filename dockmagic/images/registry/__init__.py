"""The client of registries (distribution specification v2, on requests, which is imported when first needed).

Begin at client.py: :class:`Registry`. endpoints.py says where to ask, auth.py who asks, transport.py how; manifests.py
and download.py fetch, pull.py puts an image together; upload.py and push.py send; failures.py has the errors' words.
"""

from __future__ import annotations

from dockmagic.images.registry.client import Registry
from dockmagic.images.registry.failures import RegistryError, RegistryUnreachable

__all__ = ["Registry", "RegistryError", "RegistryUnreachable"]
