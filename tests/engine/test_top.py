"""docker top: the forms of ps that people ask for, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.test_containers import refused


@pytest.mark.parametrize(
    "arguments",
    [
        "-ef",
        "aux",
        "-eo pid,user,args",
        "axo pid,ppid,comm",
        "-o pid,vsz,rss -e",
        "-eo pid,stat,etime,nlwp,pgid,sid,ni,%mem",
    ],
)
def test_titles_and_rows(api: Any, box: Any, arguments: str) -> None:
    id = box.loop()
    shown = api.top(id, ps_args=arguments)
    first = api.inspect_container(id)["State"]["Pid"]
    titles = shown["Titles"]
    assert titles == TITLES[arguments]
    rows = [dict(zip(titles, row, strict=True)) for row in shown["Processes"]]
    row = next(row for row in rows if row["PID"] == str(first))
    assert row.get("COMMAND", row.get("CMD", "sh")).startswith("sh")
    for title in {"VSZ", "RSS", "PPID", "PGID", "SID", "NLWP"} & set(titles):
        assert int(row[title]) >= 0


TITLES = {
    "-ef": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
    "aux": ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"],
    "-eo pid,user,args": ["PID", "USER", "COMMAND"],
    "axo pid,ppid,comm": ["PID", "PPID", "COMMAND"],
    "-o pid,vsz,rss -e": ["PID", "VSZ", "RSS"],
    "-eo pid,stat,etime,nlwp,pgid,sid,ni,%mem": ["PID", "STAT", "ELAPSED", "NLWP", "PGID", "SID", "NI", "%MEM"],
}


def test_without_the_pid(api: Any, box: Any) -> None:
    id = box.loop()
    refused(lambda: api.top(id, ps_args="-o comm"), 500, "Couldn't find PID field in ps output")
