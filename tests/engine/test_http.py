"""HTTP as Docker's clients use and abuse it."""

from __future__ import annotations

import json
import socket
import tarfile
import time

import pytest

from tests.engine.conftest import IMAGE, LOOP


def test_ping_has_the_headers_clients_begin_with(raw) -> None:
    reply = raw().ask("GET", "/_ping")
    assert (reply.status, reply.body) == (200, b"OK")
    assert float(reply.headers["api-version"]) >= 1.41
    assert reply.headers["ostype"] == "linux"
    assert reply.headers["docker-experimental"] in {"true", "false"}
    assert "no-cache" in reply.headers["cache-control"]


def test_head_ping_has_no_body(raw) -> None:
    connection = raw()
    assert connection.ask("HEAD", "/_ping").headers["api-version"]
    assert connection.ask("GET", "/_ping").body == b"OK"


def test_many_requests_on_one_connection(raw) -> None:
    connection = raw()
    for _ in range(50):
        assert connection.ask("GET", "/v1.41/_ping").body == b"OK"


def test_requests_sent_before_the_answers_are_read(raw) -> None:
    connection = raw()
    connection.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n" * 3)
    assert [connection.reply().body for _ in range(3)] == [b"OK"] * 3


def test_a_request_in_pieces(raw) -> None:
    connection = raw()
    for piece in (b"GET /_pi", b"ng HTTP/1.1\r\nHo", b"st: d\r\n", b"\r\n"):
        connection.send(piece)
        time.sleep(0.01)
    assert connection.reply().body == b"OK"


def test_connection_close_closes(raw) -> None:
    connection = raw()
    assert connection.ask("GET", "/_ping", Connection="close").status == 200
    assert connection.file.read() == b""


def test_http_1_0_closes(raw) -> None:
    connection = raw()
    connection.send(b"GET /_ping HTTP/1.0\r\n\r\n")
    assert connection.reply().status == 200
    assert connection.file.read() == b""


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nHost: d\r\nbad header\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_400_and_the_end(raw, bytes_sent: bytes) -> None:
    connection = raw()
    connection.send(bytes_sent)
    status, _ = connection.head()
    assert status == 400
    connection.file.read()


def test_an_unknown_path_is_404_in_json(raw) -> None:
    reply = raw().ask("GET", "/v1.41/nothing/here")
    assert reply.status == 404
    assert reply.json() == {"message": "page not found"}


@pytest.mark.parametrize(("version", "words"), [("9.99", "too new"), ("1.2", "too old")])
def test_versions_out_of_range_are_refused(raw, ours, version: str, words: str) -> None:
    reply = raw().ask("GET", f"/v{version}/containers/json")
    assert reply.status == 400
    assert words in reply.json()["message"]


def test_unversioned_paths_are_answered(raw) -> None:
    assert isinstance(raw().ask("GET", "/containers/json").json(), list)


@pytest.mark.parametrize("body", [b"{", b"{not json}", b'{"Image": }', b'{"Image": "x"} trailing'])
def test_malformed_json_is_400(raw, ours, body: bytes) -> None:
    connection = raw()
    head = "POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    reply = connection.reply()
    assert reply.status == 400
    assert reply.json()["message"]
    assert connection.ask("GET", "/_ping").status == 200


def test_a_body_of_another_type_is_refused(raw) -> None:
    connection = raw()
    connection.send(
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"
    )
    reply = connection.reply()
    assert reply.status in {400, 415}
    assert "text/plain" in reply.json()["message"]


def test_a_chunked_body(raw) -> None:
    connection = raw()
    body = json.dumps({"Image": "no-such-image-here", "Cmd": ["true"]}).encode()
    connection.send(
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    for at in range(0, len(body), 7):
        piece = body[at : at + 7]
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    connection.send(b"0\r\n\r\n")
    reply = connection.reply()
    assert reply.status == 404
    assert "No such image: no-such-image-here:latest" in reply.json()["message"]


def test_expect_100_continue(raw) -> None:
    connection = raw()
    body = json.dumps({"Image": "no-such-image-here", "Cmd": ["true"]}).encode()
    connection.send(
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    status, _ = connection.head()
    assert status == 100
    connection.send(body)
    assert connection.reply().status == 404


def test_an_error_leaves_the_connection_usable(raw) -> None:
    connection = raw()
    assert connection.ask("GET", "/v1.41/containers/nope/json").status == 404
    assert connection.ask("POST", "/v1.41/containers/nope/start").status == 404
    assert connection.ask("GET", "/_ping").status == 200


def test_errors_have_no_secrets_and_are_json(raw) -> None:
    reply = raw().ask("GET", "/v1.41/containers/nope/json")
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.json() == {"message": "No such container: nope"}


def test_wait_sends_its_headers_at_once(raw, box) -> None:
    id = box.create(LOOP)
    connection = raw()
    connection.send(f"POST /v1.41/containers/{id}/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    status, headers = connection.head()  # before the container even starts
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    other = raw()
    assert other.ask("POST", f"/v1.41/containers/{id}/start").status == 204
    assert other.ask("POST", f"/v1.41/containers/{id}/kill").status == 204
    assert json.loads(connection.chunk())["StatusCode"] == 137


def test_a_client_that_vanishes_in_a_wait_harms_nobody(raw, box, api) -> None:
    id = box.loop()
    for _ in range(5):
        connection = raw()
        connection.send(f"POST /v1.41/containers/{id}/wait HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        connection.head()
        connection.close()
    api.stop(id, timeout=1)
    assert api.wait(id)["StatusCode"] == 0


def test_attach_without_upgrade_is_200(raw, box) -> None:
    id = box.create(["echo", "hi"])
    connection = raw()
    connection.send(f"POST /v1.41/containers/{id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    status, headers = connection.head()
    assert (status, headers["content-type"]) == (200, "application/vnd.docker.raw-stream")
    assert raw().ask("POST", f"/v1.41/containers/{id}/start").status == 204
    assert connection.file.read() == b"\x01\0\0\0\0\0\0\x03hi\n"


def test_attach_with_upgrade_is_101_and_goes_on_after_half_close(raw, box) -> None:
    id = box.create(["wc", "-c"], stdin_open=True)
    connection = raw()
    connection.send(
        f"POST /v1.41/containers/{id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    )
    status, headers = connection.head()
    assert (status, headers["upgrade"]) == (101, "tcp")
    assert raw().ask("POST", f"/v1.41/containers/{id}/start").status == 204
    connection.send(b"x" * 1000)
    connection.sock.shutdown(socket.SHUT_WR)
    assert connection.file.read() == b"\x01\0\0\0\0\0\0\x051000\n"


def test_attach_content_type_tells_frames_from_1_42_on(raw, box, ours) -> None:
    for tty, kind in ((False, "multiplexed"), (True, "raw")):
        id = box.create("true", tty=tty)
        connection = raw()
        connection.send(
            f"POST /v1.42/containers/{id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )
        _, headers = connection.head()
        assert headers["content-type"] == f"application/vnd.docker.{kind}-stream"


def test_a_slow_reader_gets_everything(raw, box, ours) -> None:  # dockerd 20.10 loses the end now and then
    id = box.start(["sh", "-c", "head -c 3000000 /dev/zero"])
    connection = raw()
    connection.send(f"GET /v1.41/containers/{id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    connection.head()
    time.sleep(0.3)
    total = sum(len(piece) for piece in iter(connection.chunk, b""))
    assert total >= 3_000_000


def test_a_large_upload_is_not_kept_in_memory(raw, box, engine, ours) -> None:
    from tests.support import services

    id = box.create("true")
    size = 60_000_000
    header = tarfile.TarInfo("big")
    header.size = size
    data = header.tobuf() + bytes(size) + bytes(10240)
    before = _peak(services.listener(engine))
    connection = raw()
    connection.send(
        f"PUT /v1.41/containers/{id}/archive?path=/tmp HTTP/1.1\r\n"
        f"Host: d\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    )
    connection.send(data)
    assert connection.reply().status == 200
    assert _peak(services.listener(engine)) - before < 20_000_000


def test_head_of_a_path_inside_a_container(raw, box) -> None:
    id = box.create("true")
    reply = raw().ask("HEAD", f"/v1.41/containers/{id}/archive?path=/etc/passwd")
    assert reply.status == 200
    assert reply.headers["x-docker-container-path-stat"]


def test_an_upload_that_breaks_off_leaves_a_working_engine(raw, box) -> None:
    id = box.create("true")
    connection = raw()
    connection.send(
        f"PUT /v1.41/containers/{id}/archive?path=/tmp HTTP/1.1\r\nHost: d\r\nContent-Length: 5000000\r\n\r\n".encode()
    )
    connection.send(bytes(1000))
    connection.close()
    assert raw().ask("GET", "/_ping").status == 200


def test_image_names_with_slashes_and_escapes(raw) -> None:
    for name in ("some/where/image:tag", "some%2Fwhere%2Fimage:tag"):
        reply = raw().ask("GET", f"/v1.41/images/{name}/json")
        assert reply.status == 404
        assert "some/where/image:tag" in reply.json()["message"]


def test_the_socket_is_its_owners_alone(engine, ours) -> None:
    import os
    import stat

    assert stat.S_IMODE(os.stat(engine.removeprefix("unix://")).st_mode) == 0o600


def test_events_stream_begins_at_once_and_ends_at_until(raw) -> None:
    connection = raw()
    reply = connection.ask("GET", f"/v1.41/events?until={int(time.time())}")
    assert reply.status == 200
    assert connection.ask("GET", "/_ping").status == 200


def _peak(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def test_image_is_there_for_all_of_this(api) -> None:
    assert api.inspect_image(IMAGE)["RepoTags"]
