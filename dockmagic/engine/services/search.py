"""docker search: Docker Hub's index, or a clear word when it is out of reach."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from dockmagic.engine.filters import Filters, boolean, check
from dockmagic.errors import DockmagicError, InvalidParameter, Unavailable

_INDEX = "https://index.docker.io/v1/search"
_TIMEOUT = 15


def search(term: str, limit: int, filters: Filters) -> list[dict[str, Any]]:
    """The API's ImageSearchResponseItem list. Raises InvalidParameter, Unavailable."""
    check(filters, {"is-automated", "is-official", "stars"})
    if not 1 <= limit <= 100:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, 100]")
    official = boolean(filters, "is-official")
    stars = int(filters["stars"][0]) if filters.get("stars") else 0
    url = f"{_INDEX}?{urllib.parse.urlencode({'q': term, 'n': limit})}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            found = json.load(answer).get("results") or []
    except urllib.error.HTTPError as error:
        raise DockmagicError(f"Unexpected status code {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(f'Get "{url}": the index of Docker Hub is not in reach: {reason}') from None
    return [
        item
        for item in found
        if (official is None or bool(item.get("is_official")) is official) and item.get("star_count", 0) >= stars
    ]
