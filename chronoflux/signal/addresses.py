"""This machine's network addresses, those most likely to reach another machine first.

A container host may have a hundred addresses, two for each bridge, and most of them reach no other machine.
Each offered address costs a socket, and a peer tries only a few.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import ifaddr

MOST_ADDRESSES = 16
"""Most addresses offered; a link has a socket for each."""
VIRTUAL = ("docker", "br-", "virbr", "vmnet", "vboxnet", "lxc", "lxdbr", "cni", "flannel", "cali", "podman")
"""Name prefixes of interfaces that usually reach only containers and virtual machines on this host."""
SYSTEM = Path("/sys/class/net")


def best(use_ipv4: bool = True, use_ipv6: bool = True) -> list[str]:
    """Return at most :data:`MOST_ADDRESSES` addresses of this machine, best first.

    Order: addresses of the default routes, physical interfaces, bridges, interfaces without a carrier.
    Within each group the first address of every interface comes before the second of any. Loopback
    addresses are left out, and so are link-local IPv6 addresses, which need a scope.
    """
    found: list[tuple[tuple[int, int, int], str]] = []
    routed = {lan_address(), lan_address(ipv6=True)}
    for adapter in ifaddr.get_adapters():
        worth = _worth(adapter.name, adapter.nice_name)
        seen: Counter[int] = Counter()
        for address in sorted(_addresses(adapter.ips), key=lambda address: address not in routed):
            version = ipaddress.ip_address(address).version
            if not (use_ipv4 if version == 4 else use_ipv6):
                continue
            rank = (0 if address in routed else 1 + worth, seen[version], version)
            seen[version] += 1
            found.append((rank, address))
    return [address for _, address in sorted(found, key=lambda pair: pair[0])][:MOST_ADDRESSES]


def lan_address(*, ipv6: bool = False) -> str | None:
    """Return the source address for packets to other networks; None without a default route.

    No packet is sent.
    """
    family, target = (socket.AF_INET6, "2001:db8::1") if ipv6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            address: str = probe.getsockname()[0]
    except OSError:
        return None
    return address


def usable(address: str) -> bool:
    """Return whether an address is a unicast address that other machines can reach."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_multicast or ip.is_unspecified or ip.is_loopback:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        return not ip.is_link_local
    return not (ip.is_reserved or ip in _THIS_NETWORK)  # 240.0.0.0/4 with the broadcast address; 0.0.0.0/8


_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


def _addresses(ips: Iterable[ifaddr.IP]) -> list[str]:
    listed = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in ips]
    return [address for address in listed if usable(address)]


def _worth(*names: str) -> int:
    """Return 0 for a physical interface, 1 for a container bridge, 2 for one without a carrier."""
    folder = SYSTEM / names[0]
    try:
        if (folder / "carrier").read_text().strip() == "0":
            return 2
    except OSError:
        pass  # not Linux, or the interface is down
    return int((folder / "bridge").exists() or any(name.lower().startswith(VIRTUAL) for name in names))
