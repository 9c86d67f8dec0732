"""One spelling, kind and group of each address."""

import pytest

from core.web.addresses import group_of, is_private, is_private_address, normal_address

# Text, its one spelling, whether it is private, and its group.
ADDRESSES = [
    ("8.8.8.8", "8.8.8.8", False, "8.8.8.8"),
    ("::ffff:8.8.8.8", "8.8.8.8", False, "8.8.8.8"),
    ("::ffff:808:808", "8.8.8.8", False, "8.8.8.8"),
    ("64:ff9b::8.8.8.8", "8.8.8.8", False, "8.8.8.8"),
    ("10.0.0.5", "10.0.0.5", True, "10.0.0.5"),
    ("::ffff:10.0.0.5", "10.0.0.5", True, "10.0.0.5"),
    ("127.0.0.2", "127.0.0.2", True, "127.0.0.2"),
    ("::ffff:127.0.0.1", "127.0.0.1", True, "127.0.0.1"),
    ("100.64.0.9", "100.64.0.9", True, "100.64.0.9"),
    ("::1", "::1", True, "::/64"),
    ("fe80::1%eth0", "fe80::1", True, "fe80::/64"),
    ("fd00::7", "fd00::7", True, "fd00::/64"),
    ("2606:4700:0::1111", "2606:4700::1111", False, "2606:4700::/64"),
    ("2606:4700:0:0:9::1", "2606:4700::9:0:0:1", False, "2606:4700::/64"),
]


@pytest.mark.parametrize(("text", "spelling", "private", "group"), ADDRESSES)
def test_address_has_one_spelling_kind_and_group(text, spelling, private, group):
    assert (normal_address(text), is_private(text), is_private_address(text)) == (spelling, private, private)
    assert group_of(text) == group_of(spelling) == group


@pytest.mark.parametrize("text", ["", "unknown", "1.2.3", "1.2.3.4:80", "[::1]", "::ffff:1.2.3.400", "x" * 9_000])
def test_text_that_is_no_address_counts_as_private_and_is_kept_short(text):
    assert (normal_address(text), is_private(text), is_private_address(text)) == (text, True, False)
    assert group_of(text) == text[:64]
