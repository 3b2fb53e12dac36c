"""Tree to text: parsing the text gives the same tree.

Lines keep their breaks; blank lines, and comments inside an instruction or at the end of the file, are not in the tree
and so not in the text.
"""

from __future__ import annotations

from dockmagic.dockerfile.directives import BOM, DirectiveReader
from dockmagic.dockerfile.errors import ParseError
from dockmagic.dockerfile.tree import Dockerfile, Node


def render(tree: Dockerfile) -> str:
    """The Dockerfile of a tree that has no errors."""
    directives = "".join(f"# {directive.name}={directive.value}\n" for directive in tree.directives)
    body = "".join(render_node(node, tree.escape) for node in tree.nodes)
    if not directives:
        return f"\n{body}" if body.startswith(BOM) or _begins_with_directive(body) else body
    return f"{directives}\n{body}"


def render_node(node: Node, escape: str = "\\") -> str:
    """One instruction with its comments and heredocs, ending in a newline."""
    comments = "".join(f"# {comment}\n" for comment in node.comments)
    starts = [start for start, _, _ in node.pieces] or [0]
    ends = [*starts[1:], len(node.original)]
    lines = f"{escape}\n".join(node.original[start:end] for start, end in zip(starts, ends, strict=True))
    heredocs = "".join(f"{heredoc.content}{heredoc.name}\n" for heredoc in node.heredocs)
    return f"{comments}{lines}{escape if node.unfinished else ''}\n{heredocs}"


def _begins_with_directive(body: str) -> bool:
    """A comment that was none at its old place would become a directive at the top."""
    try:
        return DirectiveReader().read(body.partition("\n")[0], 1) is not None
    except ParseError:
        return True
