"""The certificates between machines, and the invitation that carries one."""

import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from controlplane.errors import SettingsError
from controlplane.local.authority import NodeCertificates
from controlplane.local.invitation import Invitation
from controlplane.local.paths import Home, write_private


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def addresses(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one) for one in names.get_values_for_type(x509.IPAddress)]


@pytest.fixture
def head(tmp_path: Path) -> Home:
    home = Home(tmp_path / "head")
    home.root.mkdir()
    write_private(home.ray_token, "ab" * 32)
    NodeCertificates(home.nodes).prepare_head("10.0.0.1")
    return home


def test_the_head_has_an_authority_and_a_certificate_for_its_address_that_only_it_can_read(head: Home) -> None:
    files = NodeCertificates(head.nodes)
    read(files.certificate).verify_directly_issued_by(read(files.authority))
    assert addresses(read(files.certificate)) == ["10.0.0.1", "127.0.0.1", "::1"]
    assert stat.S_IMODE(head.nodes.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in head.nodes.iterdir()} == {0o600}


def test_a_start_keeps_what_is_good_and_replaces_a_certificate_for_another_address(head: Home) -> None:
    files = NodeCertificates(head.nodes)
    before = {file.name: file.read_bytes() for file in head.nodes.iterdir()}
    files.prepare_head("10.0.0.1")
    assert {file.name: file.read_bytes() for file in head.nodes.iterdir()} == before
    files.prepare_head("10.0.0.9")
    assert files.authority.read_bytes() == before["ca.pem"]
    assert addresses(read(files.certificate))[0] == "10.0.0.9"


def test_an_invited_machine_has_a_certificate_of_the_same_authority_and_not_its_key(head: Home, tmp_path: Path) -> None:
    home, file = Home(tmp_path / "node"), tmp_path / "invitation"
    home.root.mkdir()
    file.write_text(Invitation.make(head, "10.0.0.2", tls=True).write())
    Invitation.read(file).accept(home)
    files = NodeCertificates(home.nodes)
    files.require("10.0.0.2")
    read(files.certificate).verify_directly_issued_by(read(NodeCertificates(head.nodes).authority))
    assert not files.authority_key.exists()
    assert home.ray_token.read_text() == "ab" * 32
    with pytest.raises(SettingsError, match=r"not for 10\.0\.0\.3"):
        files.require("10.0.0.3")
    with pytest.raises(SettingsError, match="not the head"):
        files.issue("10.0.0.3")


def test_a_machine_that_had_joined_becomes_a_head_with_an_authority_of_its_own(head: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "node")
    home.root.mkdir()
    Invitation.make(head, "10.0.0.2", tls=True).accept(home)
    files = NodeCertificates(home.nodes)
    files.prepare_head("10.0.0.2")
    assert files.authority.read_bytes() != NodeCertificates(head.nodes).authority.read_bytes()
    read(files.certificate).verify_directly_issued_by(read(files.authority))


def test_a_head_that_has_joined_another_one_and_becomes_a_head_again_has_an_authority_anew(
    head: Home, tmp_path: Path
) -> None:
    home = Home(tmp_path / "other")
    home.root.mkdir()
    files = NodeCertificates(home.nodes)
    files.prepare_head("10.0.0.2")
    Invitation.make(head, "10.0.0.2", tls=True).accept(home)
    files.prepare_head("10.0.0.2")
    read(files.certificate).verify_directly_issued_by(read(files.authority))
    assert files.authority.read_bytes() != NodeCertificates(head.nodes).authority.read_bytes()


def test_a_client_may_trust_two_authorities_at_once(head: Home, tmp_path: Path) -> None:
    other = NodeCertificates(tmp_path / "other")
    other.prepare_head("10.0.0.2")
    files = NodeCertificates(head.nodes)
    both = tmp_path / "both.pem"
    for first, second in ((files, other), (other, files)):
        both.write_bytes(first.authority.read_bytes() + second.authority.read_bytes())
        for each in (files, other):
            verified = ["openssl", "verify", "-CAfile", str(both), str(each.certificate)]
            done = subprocess.run(verified, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def test_without_tls_it_carries_the_token_alone(head: Home, tmp_path: Path) -> None:
    invitation = Invitation.make(head, "10.0.0.2", tls=False)
    home = Home(tmp_path / "node")
    home.root.mkdir()
    invitation.accept(home)
    assert [path.name for path in home.root.iterdir()] == ["ray-token"]
    with pytest.raises(SettingsError, match="node invite"):
        NodeCertificates(home.nodes).require("10.0.0.2")


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"address": "10.0.0.2"})])
def test_a_file_that_is_no_invitation_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "invitation"
    file.write_text(content)
    with pytest.raises(SettingsError, match="is no invitation"):
        Invitation.read(file)
