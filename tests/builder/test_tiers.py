"""The same inputs give the same image on every tier, but for links that are not root's (see ownership.py)."""

from __future__ import annotations

from tests.builder.conftest import Workshop

TEXT = """\
FROM alpine AS made
RUN adduser -D someone && mkdir -p /work/sub && echo text > /work/sub/file
RUN chown -R someone /work && chmod 4750 /work/sub/file && ln /work/sub/file /work/hard
RUN rm /etc/passwd- /etc/group- 2>/dev/null; ln -s sub/file /soft; rm -r /var/www
FROM alpine
COPY --from=made --chown=daemon:nobody /work /copied
COPY --from=made /work /kept
COPY --from=made / /all
COPY --chmod=0 a /a
WORKDIR /x/y
RUN touch b && rm -rf /home && mkdir /home
"""


def test_two_tiers_make_one_image(workshop: Workshop, traced: Workshop) -> None:
    request = {"build_args": {"SOURCE_DATE_EPOCH": "1700000000"}, "no_cache": True}
    first = workshop.build(TEXT, {"a": "1"}, **request)
    second = traced.build(TEXT, {"a": "1"}, **request)
    for ours, theirs in zip(first.layers, second.layers, strict=True):
        assert ours == theirs
    assert first.image == second.image


def test_owners_are_seen_in_the_tracer(traced: Workshop) -> None:
    text = "FROM busybox\nCOPY --chown=100:200 --chmod=640 a /a\nRUN stat -c '%u:%g %a' /a > /seen && cat /seen\n"
    built = traced.build(text, {"a": "1"}, no_cache=True)
    assert built.logs["[3/3] RUN stat -c '%u:%g %a' /a > /seen && cat /seen"] == "100:200 640\n"
