"""Build checks in the progress: the warnings that BuildKit prints after a build."""

from __future__ import annotations

from dockmagic.builder.planner import Options
from dockmagic.builder.request import BuildError
from dockmagic.builder.vertexes import Reporter
from dockmagic.dockerfile.ignore import Ignore
from dockmagic.dockerfile.lint import check


def report_checks(text: str, options: Options, reporter: Reporter, ignore: Ignore | None, vertex: str) -> list[str]:
    """Tell the findings, as those of the step ``vertex`` that read the Dockerfile; their one-line forms.

    Raises BuildError where the file asks for errors (``# check=error``).
    """
    report = check(
        text,
        build_args=options.build_args,
        target=options.target,
        ignore=ignore,
        platform=str(options.target_platform),
        build_platform=str(options.build_platform),
        all_stages=False,
        own_rules=False,
    )
    if report.error is not None and "lint violation" in str(report.error):
        raise BuildError(str(report.error))
    lines = []
    for warning in report.warnings:
        line = str(warning)
        lines.append(line)
        reporter.warn(vertex, line, warning.line, [warning.description], warning.url)
    return lines
