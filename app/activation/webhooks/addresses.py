"""Which addresses a receiver may have: nobody makes this service call into the network it stands in."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Host names as DNS and hosts files have them, in ASCII; a name that looks like a number is resolved like any other.
HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")

# IANA IPv4 Special-Purpose Address Registry and multicast: all that is not one host on the public internet.
# `ipaddress.is_global` is no substitute: its registry depends on the Python release, and it takes 6to4 and NAT64
# addresses, which lead to any IPv4 address, for global.
_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared, behind the carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the clouds' metadata services
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Only this is handed out to hosts. Loopback, link-local, unique local, multicast, IPv4-mapped, IPv4-compatible and
# NAT64 (64:ff9b::/96, 64:ff9b:1::/48) addresses lie outside of it.
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, among them Teredo 2001::/32, which leads to any IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which leads to any IPv4 address
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address) -> bool:
    """Whether an address is one host on the public internet, and not a way to another address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def as_address(host: str) -> Address | None:
    """The address that a host is spelled as; null for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be reached besides the public internet, by the operator's word: hosts by name, and networks."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, entries: Sequence[str]) -> Self:
        """Entries are host names, addresses, and networks such as 10.20.0.0/16."""
        networks, hosts = [], set()
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def covers(self, address: Address) -> bool:
        return any(address in network for network in self.networks)

    def trusts(self, host: str) -> bool:
        """Whether this host was named itself, by its name or its address."""
        address = as_address(host)
        return host in self.hosts if address is None else self.covers(address)

    def permits(self, host: str, address: Address) -> bool:
        """Whether a connection to this address of this host may be made."""
        return is_public(address) or self.covers(address) or host in self.hosts
