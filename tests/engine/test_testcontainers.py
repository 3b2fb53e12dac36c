"""testcontainers on our engine, with its own wait conditions: Redis, PostgreSQL and a container of no special kind.

Both servers are Debian's, installed into one image by a build; what an image of Docker Hub's does with its environment
is done here by a small script.
"""

from __future__ import annotations

import importlib.util
import io
import os
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.engine.conftest import IMAGE
from tests.engine.test_life import until
from tests.support import debian, images, services

pytestmark = pytest.mark.skipif(
    "embedded" not in os.environ.get("DOCKMAGIC_TEST_ENGINES", "embedded"), reason="about the embedded engine only"
)
DOCKERFILE = r"""
FROM debian:test AS both
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/quick && mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
 && apt-get update -q && apt-get install -y -q --no-install-recommends postgresql-15 redis-server

FROM both AS redis
EXPOSE 6379
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]

FROM both AS postgres
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/data
COPY --chmod=755 <<"EOT" /start
#!/bin/sh
set -e
mkdir -p "$PGDATA" /run/postgresql
chown postgres "$PGDATA" /run/postgresql
echo "$POSTGRES_PASSWORD" > /tmp/password
setpriv --reuid postgres --regid postgres --clear-groups sh -e <<"EOS"
initdb -U "$POSTGRES_USER" --pwfile /tmp/password --auth-host scram-sha-256 --no-sync
echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
echo "create database \"$POSTGRES_DB\"" | postgres --single -F postgres
EOS
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -F -h 0.0.0.0
EOT
EXPOSE 5432
ENTRYPOINT ["/start"]
"""


@pytest.fixture(scope="module")
def library(embedded: str) -> Iterator[None]:
    """testcontainers, told of our engine; without its reaper, which needs an image of its own."""
    if importlib.util.find_spec("testcontainers") is None:
        services.missing("testcontainers is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", embedded)
        patch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.config import testcontainers_config

        patch.setattr(testcontainers_config, "ryuk_disabled", True)
        yield


@pytest.fixture(scope="module")
def servers(embedded: str) -> None:
    """The images ``dm-tc-redis`` and ``dm-tc-postgres``."""
    debian.needed()
    client = docker.DockerClient(base_url=embedded, timeout=600)
    with debian.tarball().open("rb") as tar:
        client.api.import_image_from_data(tar, repository="debian", tag="test")
    for target in ("redis", "postgres"):
        client.images.build(fileobj=io.BytesIO(DOCKERFILE.encode()), target=target, tag=f"dm-tc-{target}", rm=True)
    client.close()


def test_redis(library: None, servers: None) -> None:
    from testcontainers.redis import RedisContainer

    with RedisContainer("dm-tc-redis") as redis:
        client: Any = redis.get_client()
        client.set("colour", "red")
        assert client.get("colour") == b"red"


def test_postgres(library: None, servers: None) -> None:
    import sqlalchemy
    from testcontainers.postgres import PostgresContainer

    with PostgresContainer("dm-tc-postgres", username="me", password="secret", dbname="mine") as postgres:
        database = sqlalchemy.create_engine(postgres.get_connection_url())
        with database.begin() as connection:
            connection.execute(sqlalchemy.text("create table t (x int)"))
            connection.execute(sqlalchemy.text("insert into t values (41)"))
            assert connection.execute(sqlalchemy.text("select x + 1 from t")).scalar() == 42
            assert connection.execute(sqlalchemy.text("select current_database()")).scalar() == "mine"
        database.dispose()


def test_a_container_of_no_special_kind(library: None, embedded: str) -> None:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    images.provide(embedded)
    script = "mkdir /w; echo hello > /w/index.html; echo ready; exec httpd -f -p 80 -h /w"
    with DockerContainer(IMAGE).with_command(["sh", "-c", script]).with_exposed_ports(80) as server:
        wait_for_logs(server, "ready", timeout=30)
        assert server.exec(["cat", "/w/index.html"]).output == b"hello\n"
        url = f"http://{server.get_container_host_ip()}:{server.get_exposed_port(80)}/"
        until(lambda: _fetched(url) == b"hello\n")  # "ready" is said just before the server listens


def _fetched(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bytes(answer.read())
    except OSError:
        return b""
