"""Help at the cursor: what an instruction of a Dockerfile is for, and docker's own help for a command."""

from __future__ import annotations

import re

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


def explain(line: str, cursor: int) -> str | None:
    """The help for what the cursor is on in ``line``; None when there is none."""
    if re.match(r"%?%?docker(\s|$)", line):
        from dockmagic.commands import tree

        words = line.split()[1:]
        if words and words[0] in tree.GROUPS:
            found = tree.find(".".join(words[:2])) if len(words) > 1 else None
            return found.usage.text if found else tree.group_help(words[0])
        found = tree.find(words[0]) if words else None
        return found.usage.text if found else tree.group_help()
    word = next((m[0] for m in re.finditer(r"[A-Za-z]+", line) if m.start() <= cursor <= m.end()), "")
    return INSTRUCTIONS.get(word.upper())
