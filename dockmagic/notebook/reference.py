"""Help at the cursor: what an instruction of a Dockerfile is for, and docker's own help for a command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockmagic.commands.usage import Usage

INSTRUCTIONS = {
    "ADD": "ADD [OPTIONS] <src> ... <dest>\n\nAdd local or remote files and directories. Local archives are unpacked.",
    "ARG": "ARG <name>[=<default>] ...\n\nDeclare a build-time variable, given by --build-arg. It is not in the image.",
    "CMD": 'CMD ["executable", "param"]\n\nThe default command of a container made of the image; the last one counts.',
    "COPY": "COPY [OPTIONS] <src> ... <dest>\n\nCopy files from the context, another stage or an image (--from).",
    "ENTRYPOINT": 'ENTRYPOINT ["executable", "param"]\n\n'
    "The program that a container always runs; CMD gives its arguments.",
    "ENV": "ENV <key>=<value> ...\n\nSet environment variables for later steps and for containers.",
    "EXPOSE": "EXPOSE <port>[/<protocol>] ...\n\n"
    "Tell which ports a container listens on. It publishes nothing: docker run -p.",
    "FROM": "FROM [--platform=<platform>] <image> [AS <name>]\n\nBegin a build stage on a base image.",
    "HEALTHCHECK": "HEALTHCHECK [OPTIONS] CMD command | NONE\n\nHow to test that a container still works.",
    "LABEL": "LABEL <key>=<value> ...\n\nAdd metadata to the image.",
    "MAINTAINER": "MAINTAINER <name>\n\nThe author. Deprecated: use LABEL.",
    "ONBUILD": "ONBUILD <INSTRUCTION>\n\nAn instruction to run when the image is used as a base.",
    "RUN": 'RUN [OPTIONS] <command> | ["executable", "param"]\n\n'
    "Run a command on the layers so far; what it changes is a new layer.",
    "SHELL": 'SHELL ["executable", "parameters"]\n\nThe shell for commands that are not JSON.',
    "STOPSIGNAL": "STOPSIGNAL signal\n\nThe signal that docker stop sends.",
    "USER": "USER <user>[:<group>]\n\nWho later steps and containers run as.",
    "VOLUME": 'VOLUME ["/data"]\n\nA folder whose content is kept outside the container\'s own layer.',
    "WORKDIR": "WORKDIR /path\n\nThe working directory of later steps and containers; made when missing.",
}


FLAGS = {
    "COPY --from": "Copy from a stage, an image or a named context instead of the context.",
    "COPY --parents": "Keep the parent folders of the sources.",
    "ADD --checksum": "The digest that a remote file must have.",
    "ADD --keep-git-dir": "Keep the .git folder of a repository.",
    "ADD --unpack": "Whether archives are unpacked.",
    "--chown": "The owner of the copied files: user, user:group, or ids.",
    "--chmod": "The permissions of the copied files: 755, u=rwx,go=rx.",
    "--link": "A layer that does not depend on those below.",
    "--exclude": "Files that match are not copied.",
    "FROM --platform": "The platform of the base image: linux/amd64, linux/arm64.",
    "RUN --mount": "Mount for this command: type=bind, cache, tmpfs, secret or ssh.",
    "RUN --network": "The network of this command: default, none or host.",
    "RUN --security": "sandbox (default) or insecure.",
    "HEALTHCHECK --interval": "Time between two checks (default 30s).",
    "HEALTHCHECK --timeout": "A check that takes longer has failed (default 30s).",
    "HEALTHCHECK --start-period": "Time to start in which failures don't count (default 0s).",
    "HEALTHCHECK --start-interval": "Time between two checks in the start period (default 5s).",
    "HEALTHCHECK --retries": "So many failures in a row make it unhealthy (default 3).",
}
"""Flags of instructions; those that several have go without the instruction."""


def _flag_of(line: str, cursor: int) -> str:
    """The flag that the cursor is on, without its value; "" for none."""
    return next((m[1] for m in re.finditer(r"(?<!\S)(-[\w-]+)\S*", line) if m.start() <= cursor <= m.end()), "")


def _explain_flag(declared: Usage, word: str) -> str | None:
    """A command's flag: its label, the kind of its value, docker's help."""
    flag = declared.flags.get(word[2:]) if word.startswith("--") else declared.shorts.get(word[-1:])
    return f"{flag.label} {flag.type}".rstrip() + f"\n\n{flag.help}" if flag is not None else None


def explain(line: str, cursor: int) -> str | None:
    """The help for what the cursor is on in ``line``; None when there is none."""
    if re.match(r"%?%?docker(\s|$)", line):
        from dockmagic.commands import tree

        words = line.split()[1:]
        if words and words[0] in tree.GROUPS:
            found = tree.find(".".join(words[:2])) if len(words) > 1 else None
        else:
            found = tree.find(words[0]) if words else None
        if found is None:
            return tree.group_help(words[0] if words and words[0] in tree.GROUPS else "")
        flag = _flag_of(line, cursor)
        return (_explain_flag(found.usage, flag) if flag else None) or found.usage.text
    if line.startswith("%%dockerfile"):
        from dockmagic.notebook.dockerfile import USAGE

        flag = _flag_of(line, cursor)
        return (_explain_flag(USAGE, flag) if flag else None) or USAGE.text.replace("docker file", "%%dockerfile", 1)
    flag = _flag_of(line, cursor)
    if flag:
        instruction = (line.split() or [""])[0].upper()
        said = FLAGS.get(f"{instruction} {flag}") or FLAGS.get(flag)
        if said:
            return f"{instruction} {flag}\n\n{said}"
    word = next((m[0] for m in re.finditer(r"[A-Za-z]+", line) if m.start() <= cursor <= m.end()), "")
    return INSTRUCTIONS.get(word.upper())
