"""IP addresses of callers, parsed in one place, so that one caller has one address in every spelling.

A server that listens for IPv6 sees an IPv4 caller as `::ffff:1.2.3.4`, and one behind a translator (NAT64, RFC 6052) as
`64:ff9b::102:304`. Both are the address 1.2.3.4.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NAT64 = ip_network("64:ff9b::/96")
_IPV4_MASK = 2**32 - 1


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, that of IPv4 if one is embedded in it; None if the text is no address, such as "unknown"."""
    try:
        # The name behind "%" is that of an interface of this machine.
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if parsed.version == 6:
        if parsed.ipv4_mapped:
            return parsed.ipv4_mapped
        if parsed in _NAT64:
            return IPv4Address(int(parsed) & _IPV4_MASK)
    return parsed


def normal_address(text: str) -> str:
    """Return the one spelling of an address; other texts are unchanged."""
    return str(parse_address(text) or text)


def is_private(text: str) -> bool:
    """Return whether a text is an address of this machine or of a private network, or no address."""
    parsed = parse_address(text)
    return parsed is None or not parsed.is_global


def is_private_address(text: str) -> bool:
    """Return whether a text is an address, and a private one."""
    return parse_address(text) is not None and is_private(text)


def group_of(text: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address, which one customer owns as a whole.

    A text that is no address is kept short.
    """
    parsed = parse_address(text)
    if parsed is None:
        return text[:64]
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)


def site_of(text: str) -> str | None:
    """Return the /48 network of an IPv6 address, of which many providers and tunnels give one to a customer.

    It has 65,536 networks of the size of `group_of`. None for an IPv4 address, and for a text that is no address. An
    address of 6to4 (RFC 3056) holds an IPv4 address, which has one /48.
    """
    parsed = parse_address(text)
    return str(ip_network((parsed, 48), strict=False)) if parsed is not None and parsed.version == 6 else None
