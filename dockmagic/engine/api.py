"""The versions of the Docker Engine API this engine speaks."""

NEWEST = (1, 51)
OLDEST = (1, 24)


def dotted(version: tuple[int, int]) -> str:
    """``1.47``"""
    return f"{version[0]}.{version[1]}"
