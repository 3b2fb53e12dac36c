"""The stand-in ``dockmagic/host``: a small userland gathered from the machine itself."""

from __future__ import annotations

import os
import stat

from dockmagic.errors import Unavailable
from dockmagic.images.standins.gather import Entry, Gatherer

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What people use in a Dockerfile or at a container's prompt. No interpreters, no network servers: each would draw in
# many libraries, and an image that has them is one FROM away once a registry is in reach.
_NAMES = """
    sh bash busybox
    arch b2sum base32 base64 basename cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors dirname du
    echo env expand expr factor false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo
    mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pr printenv printf pwd readlink realpath rm rmdir seq
    sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee
    test [ timeout touch tr true truncate tsort tty uname unexpand uniq unlink users wc who whoami yes
    grep egrep fgrep sed awk mawk gawk find xargs diff cmp tar gzip gunzip zcat bzip2 bunzip2 xz unxz xzcat zstd
    getent getopt hostname which less more nano clear tput ps pgrep pkill kill free uptime top watch
    mount umount mountpoint flock setsid script hexdump column rev
    useradd userdel usermod groupadd groupdel
"""
PROGRAMS = tuple(_NAMES.split())
_APPLETS = ("adduser", "addgroup", "ip", "nc", "nslookup", "ping", "vi", "wget")
"""Taken only as names of busybox: the machine's own ones bring many libraries, or are no single program."""
_NOT_OF_BUSYBOX = {"bash", "busybox", "gawk", "mawk"}
_NSS = ("libnss_files.so.2", "libnss_dns.so.2")
"""glibc loads these by name when a user or a host is looked up (nsswitch.conf(5))."""
_TERMINALS = ("xterm", "xterm-256color", "linux", "vt100", "screen", "dumb")

_PASSWD = """root:x:0:0:root:/root:{shell}
daemon:x:1:1:daemon:/usr/sbin:{nologin}
bin:x:2:2:bin:/bin:{nologin}
www-data:x:33:33:www-data:/var/www:{nologin}
nobody:x:65534:65534:nobody:/nonexistent:{nologin}
"""
_GROUPS = (("root", 0), ("daemon", 1), ("bin", 2), ("tty", 5), ("www-data", 33), ("users", 100), ("nogroup", 65534))
_OS_RELEASE = """NAME="dockmagic host userland"
PRETTY_NAME="dockmagic host userland (programs of {machine})"
ID=dockmagic-host
{like}VERSION_ID="1"
HOME_URL="https://github.com/dockmagic/dockmagic"
"""
_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
_LOGIN_DEFS = "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\nCREATE_HOME no\n"


def gather(root: str = "") -> list[Entry]:
    """The layer's entries, sorted by path (hard links last, after their targets), every time set.

    ``root`` stands for ``/``, in tests. Raises Unavailable where the machine has no shell that could be taken.
    """
    taken = Gatherer(root)
    for name in PROGRAMS:
        taken.program(name)
    taken.applets(name for name in (*PROGRAMS, *_APPLETS) if name not in _NOT_OF_BUSYBOX)
    if "sh" not in taken.programs:
        raise Unavailable("dockmagic/host can't be made on this machine: there is no sh whose libraries can be found")
    if taken.interpreter(taken.programs["sh"]):
        for library in _NSS:
            taken.library(library, taken.programs["sh"])
    if not taken.finds_all_libraries() and os.path.exists(root + "/etc/ld.so.cache"):
        taken.add("/etc/ld.so.cache")
    for terminal in _TERMINALS:
        for parent in ("/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo", "/etc/terminfo"):
            if os.path.exists(f"{root}{parent}/{terminal[0]}/{terminal}"):
                taken.add(f"{parent}/{terminal[0]}/{terminal}")
                break
    _folders(taken)
    _own_files(taken, root)
    return _timed(taken)


def _folders(taken: Gatherer) -> None:
    for path in (
        *(
            "/bin",
            "/dev",
            "/etc",
            "/home",
            "/mnt",
            "/opt",
            "/proc",
            "/run",
            "/sbin",
            "/srv",
            "/sys",
            "/usr",
            "/usr/bin",
        ),
        *("/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/local/sbin", "/usr/sbin", "/usr/share"),
        *("/var", "/var/cache", "/var/lib", "/var/log", "/var/mail"),
    ):
        if path not in taken.entries:  # a merged /usr has links there
            taken.folder(path)
    taken.folder("/root", 0o700)
    taken.folder("/tmp", 0o1777)
    taken.folder("/var/tmp", 0o1777)
    taken.link("/var/run", "/run")
    if "/bin/sh" not in taken.entries and taken.entries["/bin"].link == "":
        taken.link("/bin/sh", taken.programs["sh"])


def _own_files(taken: Gatherer, root: str) -> None:
    shell = "/bin/bash" if "bash" in taken.programs else "/bin/sh"
    taken.file("/etc/passwd", _PASSWD.format(shell=shell, nologin="/usr/sbin/nologin"))
    taken.file("/etc/group", "".join(f"{name}:x:{number}:\n" for name, number in _GROUPS))
    taken.file("/etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
    taken.file("/etc/gshadow", "".join(f"{name}:*::\n" for name, _ in _GROUPS), 0o640)
    taken.file("/etc/hosts", _HOSTS)
    taken.file("/etc/nsswitch.conf", _NSSWITCH)
    taken.file("/etc/login.defs", _LOGIN_DEFS)
    taken.file("/etc/shells", "/bin/sh\n" + ("/bin/bash\n" if "bash" in taken.programs else ""))
    taken.file("/etc/os-release", _os_release(root))


def _os_release(root: str) -> str:
    """Says what the image is, and of which system its programs are."""
    said: dict[str, str] = {}
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(root + path, encoding="utf-8", errors="replace") as file:
                said = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line and line[0] != "#")
            break
        except OSError:
            continue
    machine = said.get("PRETTY_NAME", "this machine").strip("\"'").replace('"', "")
    family = said.get("ID", "").strip("\"'")
    return _OS_RELEASE.format(machine=machine, like=f"ID_LIKE={family}\n" if family.isalnum() else "")


def _timed(taken: Gatherer) -> list[Entry]:
    """Entries of our own get the time of the newest program, so that one machine always makes the same image."""
    newest = max(entry.mtime or 0 for entry in taken.entries.values() if not stat.S_ISDIR(entry.mode))
    whole = []
    for entry in sorted(taken.entries.values(), key=lambda entry: (entry.hard, entry.path)):
        whole.append(entry if entry.mtime is not None else Entry(**{**vars(entry), "mtime": newest}))
    return whole
