"""Logs: both streams, tail, moments, timestamps, following."""

from __future__ import annotations

import re
import threading
import time

import pytest

from tests.engine.conftest import LOOP
from tests.engine.test_containers import refused
from tests.engine.test_life import until

BOTH = ["sh", "-c", "echo out; echo err >&2"]


def test_both_streams_and_each(box, api) -> None:
    id = box.start(BOTH)
    api.wait(id)
    assert set(api.logs(id).splitlines()) == {b"out", b"err"}
    assert api.logs(id, stderr=False) == b"out\n"
    assert api.logs(id, stdout=False) == b"err\n"


def test_no_stream_is_refused(box, api, raw) -> None:
    id = box.create()
    reply = raw().ask("GET", f"/v1.41/containers/{id}/logs")
    assert reply.status == 400
    assert "you must choose at least one stream" in reply.json()["message"]


def test_logs_of_nothing(api) -> None:
    refused(lambda: api.logs("dm-eng-nothing"), 404, "No such container")


def test_tail(box, api) -> None:
    id = box.start(["seq", "1", "10"])
    api.wait(id)
    assert api.logs(id, tail=3) == b"8\n9\n10\n"
    assert api.logs(id, tail=0) == b""
    assert api.logs(id, tail=100).count(b"\n") == 10
    assert api.logs(id, tail="all").count(b"\n") == 10


def test_timestamps(box, api) -> None:
    id = box.start(["echo", "hi"])
    api.wait(id)
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z hi\n", api.logs(id, timestamps=True))


def test_since_and_until(box, api) -> None:
    id = box.start(["sh", "-c", "echo early; sleep 2.2; echo late"])
    api.wait(id)
    early, late = (line.split()[0].decode() for line in api.logs(id, timestamps=True).splitlines())
    middle = float(_seconds(early)) + 1
    assert api.logs(id, since=middle) == b"late\n"
    assert api.logs(id, until=middle) == b"early\n"
    assert api.logs(id, since=time.time() + 100) == b""
    assert late > early


def _seconds(text: str) -> float:
    import calendar

    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))


def test_follow_ends_with_the_container(box, api) -> None:
    id = box.start(["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done"])
    assert b"".join(api.logs(id, stream=True, follow=True)) == b"1\n2\n3\n"


def test_follow_gives_lines_as_they_come(box, api) -> None:
    id = box.start(["sh", "-c", "echo one; until [ -e /go ]; do sleep 0.02; done; echo two"])
    lines = api.logs(id, stream=True, follow=True)
    assert next(lines) == b"one\n"
    api.exec_start(api.exec_create(id, ["touch", "/go"]))
    assert next(lines) == b"two\n"
    assert list(lines) == []


def test_follow_of_an_ended_container_ends(box, api) -> None:
    id = box.start(["echo", "x"])
    api.wait(id)
    assert list(api.logs(id, stream=True, follow=True)) == [b"x\n"]


def test_several_followers(box, api, engine) -> None:
    import docker

    id = box.start(["sh", "-c", "for i in $(seq 1 200); do echo line $i; done"])
    results: list[bytes] = []

    def follow() -> None:
        client = docker.APIClient(base_url=engine)
        results.append(b"".join(client.logs(id, stream=True, follow=True)))
        client.close()

    threads = [threading.Thread(target=follow) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    expected = b"".join(b"line %d\n" % i for i in range(1, 201))
    assert results == [expected] * 10


def test_a_follower_that_goes_does_not_stop_the_container(box, api, raw) -> None:
    id = box.start(["sh", "-c", "while :; do echo tick; sleep 0.01; done"])
    connection = raw()
    connection.send(f"GET /v1.41/containers/{id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    connection.head()
    connection.chunk()
    connection.close()
    before = len(api.logs(id))
    until(lambda: len(api.logs(id)) > before)


def test_a_terminal_has_one_raw_stream(box, api, raw) -> None:
    id = box.start(BOTH, tty=True)
    api.wait(id)
    assert api.logs(id) == b"out\r\nerr\r\n"


def test_a_last_line_without_end(box, api) -> None:
    assert box.run(["printf", "a\\nb"])[1] == b"a\nb"


def test_long_lines_come_whole(box, api) -> None:
    _, out = box.run(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo"])
    assert out == b"x" * 100_000 + b"\n"


def test_bytes_that_are_no_text(box, api) -> None:
    assert b"\xc3\xa9" in box.run(["printf", "\\303\\251\\n"])[1]


def test_without_a_log(box, api) -> None:
    id = box.start(["echo", "x"], host={"log_config": {"Type": "none", "Config": {}}})
    api.wait(id)
    refused(lambda: api.logs(id), 501, "configured logging driver does not support reading")


def test_rotation_keeps_the_newest(box, api) -> None:
    host = {"log_config": {"Type": "json-file", "Config": {"max-size": "2k", "max-file": "2"}}}
    id = box.start(["seq", "1", "300"], host=host)
    api.wait(id)
    lines = api.logs(id).split()
    assert lines[-1] == b"300"
    assert len(lines) < 300
    assert lines == [str(n).encode() for n in range(301 - len(lines), 301)]


@pytest.mark.parametrize(
    "log", [{"Type": "no-such-driver", "Config": {}}, {"Type": "json-file", "Config": {"odd-option": "1"}}]
)
def test_log_settings_that_cannot_be(box, api, log) -> None:
    with pytest.raises(Exception, match=r"log|Log"):
        box.start(LOOP, host={"log_config": log})


def test_details(box, api, raw) -> None:
    id = box.start(["echo", "x"], tty=True)
    api.wait(id)
    assert raw().ask("GET", f"/v1.41/containers/{id}/logs?stdout=1&details=1").body == b" x\r\n"
