"""Signatures of exported files: keys that fit and others, files that were changed, and the package that is missing."""

import importlib.util
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from core.cli import main
from core.errors import StudioError
from core.export.files import list_files
from core.export.signing import Signer, signature_of, verify

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None,
    reason="the package model-signing is not installed (requirements-signing.txt)",
)
PASSWORD = "a password"


def refuse_password():
    raise AssertionError("No password is needed.")


def write_keys(folder, name="own", key=None, password=None):
    """Write a pair of keys, and return the paths of the private and the public one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def file(settings):
    path = settings.exports_dir / "run-012345-final-Q8_0.gguf"
    path.write_bytes(bytes(range(256)) * 20)
    return path


@needs_package
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_signature_holds_for_this_file_and_this_key_only(file, tmp_path, password):
    private, public = write_keys(tmp_path, password=password)
    signer = Signer(private, (lambda: PASSWORD) if password else refuse_password)
    assert signer.sign(file) == signature_of(file)
    verify(file, public)
    with pytest.raises(StudioError, match=r"is not what was signed with this key: .*does not match the provided"):
        verify(file, write_keys(tmp_path, "other")[1])
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(StudioError, match="is not what was signed with this key: the file was changed since"):
        verify(file, public)
    signature_of(file).write_text("{}")
    with pytest.raises(StudioError, match="is not what was signed with this key"):
        verify(file, public)
    signature_of(file).unlink()
    with pytest.raises(StudioError, match=r"has no signature run-012345-final-Q8_0.gguf.sig beside it"):
        verify(file, public)


@needs_package
def test_key_that_cannot_sign_is_refused_with_the_way_to_make_one(file, tmp_path):
    private, public = write_keys(tmp_path)
    other, _ = write_keys(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    secp, _ = write_keys(tmp_path, "secp256k1", ec.generate_private_key(ec.SECP256K1()))
    encrypted, _ = write_keys(tmp_path, "encrypted", password=PASSWORD)
    for key, reason in ((public, "private key"), (other, "the key is of another kind"), (secp, "secp256k1"),
                        (encrypted, "assword"), (tmp_path / "none.pem", "No such file")):  # fmt: skip
        with pytest.raises(StudioError, match=rf"{reason}.* Make one: openssl ecparam"):
            Signer(key, lambda: "another password")
    Signer(private, refuse_password).sign(file)
    for key in (private, tmp_path / "none.pem"):
        with pytest.raises(StudioError, match=r"The public key .* cannot be read"):
            verify(file, key)


@needs_package
def test_command_checks_a_signature(file, settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    private, public = write_keys(tmp_path)
    Signer(private, refuse_password).sign(file)
    assert [(one.name, one.form) for one in list_files(settings) if one.form == "Signature"] == [
        (f"{file.name}.sig", "Signature")
    ]
    assert main(["exports", "--verify", file.name, "--key", str(public)]) == 0
    assert "is what was signed with the private key of" in capsys.readouterr().out
    file.write_bytes(b"other")
    assert main(["exports", "--verify", file.name, "--key", str(public)]) == 2
    assert main(["exports", "--verify", file.name]) == 2
    assert "both --verify NAME and --key PUBLIC.pem" in capsys.readouterr().err
    assert main(["exports", "--delete", file.name]) == 0
    assert list_files(settings) == []


def test_missing_package_is_named(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    private, public = write_keys(tmp_path)
    for work in (lambda: Signer(private, refuse_password), lambda: verify(file, public)):
        with pytest.raises(StudioError, match=r"Install it: pip install -r requirements-signing.txt"):
            work()
