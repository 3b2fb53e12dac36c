"""Checks of a Dockerfile: BuildKit's build checks with its names and words, and a few of ours. Begin at checker.py."""

from dockmagic.dockerfile.lint.checker import BaseImage, check
from dockmagic.dockerfile.lint.report import CheckWarning, Options, Report
from dockmagic.dockerfile.lint.rules import RULES, Rule

__all__ = ["RULES", "BaseImage", "CheckWarning", "Options", "Report", "Rule", "check"]
