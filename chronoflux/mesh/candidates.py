"""Candidates, addresses at which a peer may be reached: how many are told and tried, and which.

Whoever is in the room names addresses in an offer, and a node then sends packets there, wanted or not. So of
each peer only a few are tried, each from a few of ours, and none that is no single machine's. A sender
tells its best first, and no more than receivers keep.

aioice limits none of this (0.13), so an ICE connection's pairing is wrapped here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections import Counter
from collections.abc import Mapping

from aioice import Candidate, Connection
from aioice.ice import CandidatePair
from aioice.mdns import is_mdns_hostname
from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from chronoflux.signal.addresses import usable

log = logging.getLogger(__name__)

TOLD: Mapping[str, int] = {"host": 16, "srflx": 12, "relay": 4}
"""Candidates of each type that are told: 32, as many as receivers keep."""
TRIED: Mapping[str, int] = {"host": 10, "srflx": 4, "relay": 2}
"""Candidates of a peer of each type that are tried: 16. The types do not crowd out each other."""
FROM_EACH = 6
"""Addresses of ours from which each is tried: with 16 there are less than the 100 pairs of RFC 8445."""
LINE = "a=candidate:"
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h


class Allowance:
    """What may still be told or tried; one for each link and direction."""

    def __init__(self, most: Mapping[str, int]) -> None:
        self._left = Counter(most)

    def take(self, candidate: RTCIceCandidate) -> bool:
        """Whether a candidate is to be used: an address of one machine, a real port, and not one too many."""
        fits = candidate.protocol.lower() == "udp" and candidate.component == 1 and 0 < candidate.port < 65536
        fits = fits and (is_mdns_hostname(candidate.ip) or usable(candidate.ip))
        if not fits or self._left[candidate.type] <= 0:
            log.debug("link: candidate %s:%s is left out", candidate.ip, candidate.port)
            return False
        self._left[candidate.type] -= 1
        return True

    def trim(self, sdp: str) -> str:
        """A description without the candidates that are not to be used.

        Raises
        ------
        ValueError, IndexError
            When a candidate makes no sense.
        """
        lines = sdp.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(LINE) or self.take(parse(line)))


def parse(text: str) -> RTCIceCandidate:
    """A candidate from its line in a description, or as it is sent alone (``candidate:…``)."""
    fields = text.strip().removeprefix("a=").removeprefix("candidate:")
    if len(fields.split()) < 8:
        raise ValueError("a candidate with too few fields")
    return candidate_from_sdp(fields)


def limit_pairs(connection: Connection) -> None:
    """Try each candidate of the peer from at most :data:`FROM_EACH` addresses of ours.

    Those are a relay's, then those of the same network, then the best. Pairs that the peer's own checks
    make are answers to where they came from, and are not limited.
    """
    pair_all, pairs = connection._pair_remote_candidate, connection._check_list

    def pair(remote_candidate: Candidate) -> None:
        before = len(pairs)
        pair_all(remote_candidate)
        new = pairs[before:]
        new.sort(key=_distance)  # stable: the best first, as they were gathered
        already = sum(known.remote_candidate is remote_candidate for known in pairs[:before])
        pairs[before:] = new[: max(0, FROM_EACH - already)]

    connection._pair_remote_candidate = pair  # type: ignore[method-assign]


def let_split(connection: Connection) -> None:
    """Let routers split long IPv4 packets of a connection's sockets, once these are there.

    Linux forbids it (DF) to learn how much the path takes; where nothing tells it, encryption's first long
    packets would be lost for ever. Our packets are at most some 1,250 bytes, which IPv6 paths take whole.
    """
    if sys.platform != "linux":
        return
    for protocol in connection._protocols:
        opened = protocol.transport.get_extra_info("socket")
        if opened is not None and opened.family == socket.AF_INET:
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)


def _distance(pair: CandidatePair) -> int:
    ours = pair.local_candidate
    if ours.type == "relay":
        return 0
    here, there = (ipaddress.ip_address(host) for host in (ours.host, pair.remote_candidate._network_host))
    hosts = 8 if here.version == 4 else 64  # bits of an address within a network
    return 1 if int(here) >> hosts == int(there) >> hosts else 2
