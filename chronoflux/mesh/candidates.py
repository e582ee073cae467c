"""Limits on ICE candidates: how many are sent to a peer, and how many of a peer's are tried.

Any member of the room can name addresses in an offer, and a node then sends packets to them. Therefore only a
few candidates of each peer are tried, each from a few of our addresses, and only unicast addresses. A sender
lists its best candidates first, and no more than receivers keep.

aioice (0.13) has none of these limits, so this module wraps the pairing of an ICE connection.
It is the only one that uses private interfaces of aioice; `tests/util/test_private_interfaces.py` names them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections import Counter
from collections.abc import Mapping

import aioice.ice
from aioice import Candidate, Connection
from aioice.ice import CandidatePair
from aioice.mdns import is_mdns_hostname
from aiortc import RTCIceCandidate
from aiortc.sdp import candidate_from_sdp

from chronoflux.signal import addresses
from chronoflux.signal.addresses import usable

log: logging.Logger = logging.getLogger(__name__)

# By default six missed consent checks, one every 5 s, end a connection. The mesh has its own heartbeats, so a
# link may survive a network cut or a suspended process, and resume at once afterwards.
aioice.ice.CONSENT_FAILURES = 30
# aioice would open a socket for every address of the machine; `addresses.best` limits their number.
aioice.ice.get_host_addresses = addresses.best

MAX_SENT: Mapping[str, int] = {"host": 16, "srflx": 12, "relay": 4}
"""Most candidates sent, by type: 32 in total, as many as receivers keep."""
MAX_TRIED: Mapping[str, int] = {"host": 10, "srflx": 4, "relay": 2}
"""Most candidates of a peer that are tried, by type: 16 in total. No type displaces another."""
FROM_EACH = 6
"""Local addresses from which each is tried: with 16 candidates fewer than the 100 pairs of RFC 8445."""
LINE = "a=candidate:"
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # linux/in.h


class CandidateLimit:
    """Counts the candidates that may still be sent or tried; one instance for each link and direction."""

    def __init__(self, most: Mapping[str, int]) -> None:
        self._left = Counter(most)

    def take(self, candidate: RTCIceCandidate) -> bool:
        """Return whether to use a candidate: unicast UDP, a valid port, and within the limit."""
        fits = candidate.protocol.lower() == "udp" and candidate.component == 1 and 0 < candidate.port < 65536
        fits = fits and (is_mdns_hostname(candidate.ip) or usable(candidate.ip))
        if not fits or self._left[candidate.type] <= 0:
            log.debug("link: candidate %s:%s is left out", candidate.ip, candidate.port)
            return False
        self._left[candidate.type] -= 1
        return True

    def trim(self, sdp: str) -> str:
        """Return a description without the candidates that are not used.

        Raises
        ------
        ValueError, IndexError
            If a candidate cannot be parsed.
        """
        lines = sdp.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(LINE) or self.take(parse(line)))


def parse(text: str) -> RTCIceCandidate:
    """Parse a candidate from a line of a description or from its own text (``candidate:…``)."""
    fields = text.strip().removeprefix("a=").removeprefix("candidate:")
    if len(fields.split()) < 8:
        raise ValueError("a candidate with too few fields")
    return candidate_from_sdp(fields)


def by_turn(connection: Connection) -> bool:
    """Whether a connection goes through a TURN server, of this side or of the peer's."""
    relays = {(c.host, c.port) for c in connection.remote_candidates if c.type == "relay"}
    return any(
        # a peer whose packets arrive before its candidates is known only by its address
        pair.local_candidate.type == "relay" or pair.remote_addr in relays
        for pair in connection._nominated.values()
    )


def limit_pairs(connection: Connection) -> None:
    """Try each candidate of the peer from at most :data:`FROM_EACH` of our addresses.

    Relay addresses come first, then those of the same network, then the best. Pairs from checks that the
    peer sends are not limited, because they only answer the peer's source address.
    """
    pair_all, pairs = connection._pair_remote_candidate, connection._check_list

    def pair(remote_candidate: Candidate) -> None:
        before = len(pairs)
        pair_all(remote_candidate)
        new = pairs[before:]
        new.sort(key=_distance)  # stable: keeps the order of gathering, best first
        already = sum(known.remote_candidate is remote_candidate for known in pairs[:before])
        pairs[before:] = new[: max(0, FROM_EACH - already)]

    connection._pair_remote_candidate = pair  # type: ignore[method-assign]


def allow_fragmentation(connection: Connection) -> None:
    """Allow routers to fragment long IPv4 packets of a connection's sockets; call it after gathering.

    Linux sets the DF bit to discover the path MTU. On paths without ICMP feedback the first long DTLS packets
    would be lost on every attempt. Our packets have at most about 1,250 bytes, which IPv6 paths carry whole.
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
