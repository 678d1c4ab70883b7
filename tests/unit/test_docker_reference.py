"""Names of images, as Docker reads them."""

import time

import pytest

from providers.compute.docker.reference import ImageReference, may_be_id

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("web", "docker.io", "library/web", None, None),
        ("web:1", "docker.io", "library/web", "1", None),
        ("acme/web:1.2-rc_1", "docker.io", "acme/web", "1.2-rc_1", None),
        ("index.docker.io/web", "docker.io", "library/web", None, None),
        ("docker.io/acme/web", "docker.io", "acme/web", None, None),
        (f"web@{DIGEST}", "docker.io", "library/web", None, DIGEST),
        (f"ghcr.io/acme/a/b:v1@{DIGEST}", "ghcr.io", "acme/a/b", "v1", DIGEST),
        ("localhost/web", "localhost", "web", None, None),
        ("localhost:5000/web", "localhost:5000", "web", None, None),
        ("127.0.0.1:5000/web:1", "127.0.0.1:5000", "web", "1", None),
        ("[::1]:5000/web", "[::1]:5000", "web", None, None),
        ("Registry/web", "Registry", "web", None, None),
        ("a__b/c--d.e", "docker.io", "a__b/c--d.e", None, None),
    ],
)
def test_a_name_is_read(text: str, registry: str, path: str, tag: str | None, digest: str | None) -> None:
    assert ImageReference.parse(text) == ImageReference(registry, path, tag, digest)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not the name"),
        ("Web", "lower case"),
        ("acme/Web", "lower case"),
        ("-web", "not the name"),
        ("web-", "not the name"),
        ("a..b", "not the name"),
        ("a___b", "not the name"),
        ("a//b", "not the name"),
        ("/web", "not the name"),
        ("http://ghcr.io/web", "not the name"),
        ("user:pass@ghcr.io/web", "a digest is"),
        ("web:", "not a tag"),
        ("web:-x", "not a tag"),
        ("web:" + "x" * 129, "not a tag"),
        ("web@sha256:abc", "a digest is"),
        ("ghcr.io:port/web", "not a registry"),
        ("-bad.example/web", "not a registry"),
        ("a/" + "b" * 255, "at most 255 characters"),
        ("web\n", "not the name"),
        ("ab" * 32, "is the id of an image"),
        (DIGEST, "is the id of an image"),
    ],
)
def test_what_is_no_name_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ImageReference.parse(text)


def test_a_short_id_is_a_name_that_may_be_one() -> None:
    assert may_be_id("abcdef012345")
    assert not may_be_id("web")
    assert not may_be_id("library/abc")


def test_no_name_takes_long_to_read() -> None:
    began = time.process_time()
    for text in ("a-" * 250, "a." * 250 + "/", "-" * 500, "a" * 500 + "@", "a:" * 250):
        with pytest.raises(ValueError, match="not"):
            ImageReference.parse(text)
    assert time.process_time() - began < 0.5
