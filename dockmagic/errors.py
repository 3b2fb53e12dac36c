"""Errors that carry Docker's message and HTTP status from the place where they are known.

The classes are those of moby's ``errdefs``: a room raises one, the engine's HTTP layer answers with its
status and ``{"message": str(error)}``, and docker-py turns that into ``docker.errors.APIError`` again.
Messages are the ones dockerd gives, where dockerd has one.
"""

from __future__ import annotations


class DockmagicError(Exception):
    """Base of every error dockmagic raises on purpose. ``status`` is the HTTP status of the answer."""

    status = 500


class InvalidParameter(DockmagicError):
    """The request is malformed or asks for what cannot be (400)."""

    status = 400


class Unauthorized(DockmagicError):
    """The registry or the engine wants other credentials (401)."""

    status = 401


class Forbidden(DockmagicError):
    """Understood and refused (403)."""

    status = 403


class NotFound(DockmagicError):
    """No such image, container, volume, file (404)."""

    status = 404


class Conflict(DockmagicError):
    """The state of an object does not allow it: a name in use, a container running (409)."""

    status = 409


class NotModified(DockmagicError):
    """Already so: a started container started, a stopped one stopped (304)."""

    status = 304


class TooManyRequests(DockmagicError):
    """A registry's rate limit (429)."""

    status = 429


class NotImplementedByEngine(DockmagicError):
    """A part of the API this engine has not; says so instead of pretending (501)."""

    status = 501


class Unavailable(DockmagicError):
    """Needs something that is not there: a swarm, a network, a capability of the tier (503)."""

    status = 503
