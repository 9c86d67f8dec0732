"""Signatures of exported files by OpenSSF Model Signing, with an elliptic-curve key of your own.

    exports/FILE         the file
    exports/FILE.sig     a Sigstore bundle: the file's SHA-256, signed with ECDSA, and the hash of the public key

Anyone who has the public key can check it, here or with `model_signing verify key`. Keys are given by their path on the
command line only: the page never reads one. Signing with an identity (sigstore) needs a browser and its servers, and is
not offered.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.export.files import SIGNATURE

INSTALL = "pip install -r requirements-signing.txt"
_CURVES = "a key on the curve P-256, P-384 or P-521 as PEM"
_MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"
_PUBLIC = "openssl ec -in KEY.pem -pubout -out PUBLIC.pem"


class Signer:
    """Signs files with a private key."""

    def __init__(self, key: Path, ask_password: Callable[[], str]):
        """Read a private key.

        Args:
            key: The file of the key.
            ask_password: Returns the password of an encrypted key.

        Raises:
            StudioError: model-signing is not installed, or the file holds no such key.
        """
        self._config = _package().signing.Config()
        try:
            try:
                self._config.use_elliptic_key_signer(private_key=key)
            except TypeError:
                # The key is encrypted.
                password: Any = ask_password().encode()
                self._config.use_elliptic_key_signer(private_key=key, password=password)
        # A key of another kind has no curve.
        except (OSError, ValueError, AttributeError) as error:
            raise StudioError(
                f"The private key {str(key)!r} cannot be read ({_reason(error)}). Expected {_CURVES}. Make one: {_MAKE}"
            ) from error

    def sign(self, file: Path) -> Path:
        """Sign a file, and return its signature, which lies beside it."""
        target = signature_of(file)
        self._config.sign(file, target)
        return target


def signature_of(file: Path) -> Path:
    """Return the path of a file's signature."""
    return file.with_name(f"{file.name}{SIGNATURE}")


def verify(file: Path, key: Path) -> None:
    """Check the signature of a file.

    Args:
        file: The file, with its signature beside it.
        key: The file of the public key.

    Raises:
        StudioError: There is no signature, it is of another key, or the file was changed since.
    """
    config, signature = _package().verifying.Config(), signature_of(file)
    if not signature.is_file():
        raise StudioError(f"{file.name} has no signature {signature.name} beside it. Sign it when it is exported.")
    try:
        config.use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, AttributeError) as error:
        raise StudioError(
            f"The public key {str(key)!r} cannot be read ({_reason(error)}). Expected {_CURVES}. Make one of a private "
            f"key: {_PUBLIC}"
        ) from error
    try:
        config.verify(file, signature)
    except Exception as error:
        # The package raises whatever its parsers do for a damaged bundle.
        what = "the file was changed since, or exported again" if "Hash mismatch" in str(error) else _reason(error)
        raise StudioError(f"{file.name} is not what was signed with this key: {what}.") from error


def _package() -> Any:
    """Return the package model_signing.

    Raises:
        StudioError: It is not installed.
    """
    try:
        import model_signing
    except ImportError as error:
        raise StudioError(f"Signing needs the package model-signing. Install it: {INSTALL}") from error
    return model_signing


def _reason(error: Exception) -> str:
    """Return why a key or a signature was refused, without the full stop."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, AttributeError):
        return "the key is of another kind"
    return f"{str(error).strip().rstrip('.') or type(error).__name__}"
