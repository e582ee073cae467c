"""What the server prints for others to join with, on hosts with one network, several, or none."""

from __future__ import annotations

import re

from tests.network import Network
from tests.network import network as network
from tests.processes import signaling


async def said(network: Network, *, bridge: bool = False, bare: bool = False) -> str:
    """What ``python -m chronoflux.signal --host 0.0.0.0`` says on a host without a default route."""
    host = network.host()
    if bridge:
        host.bridge("br-lab", "10.78.0.1")
    if bare:
        host.drop()
    async with signaling(8089, prefix=host.prefix, host="0.0.0.0") as server:
        pass
    return "".join(server.said)


async def test_without_a_default_route_the_interfaces_count(network: Network) -> None:
    """On a network without a way out, as between two laptops on a cable, the address of the interface is what
    others join with."""
    text = await said(network)
    assert re.search(r'Join with: await cf\.join\("room1", server="ws://10\.77\.0\.1:8089"\)', text), text
    assert "No network" not in text


async def test_all_interfaces_are_named(network: Network) -> None:
    """With several interfaces the likeliest is in the line, and the others are named."""
    text = await said(network, bridge=True)
    assert "ws://10.77.0.1:8089" in text.partition("Join with")[2].splitlines()[0], text
    assert "This machine's other addresses: ws://10.78.0.1:8089" in text, text


async def test_with_no_address_at_all_it_says_so(network: Network) -> None:
    """A machine without any address but loopback is told that no network is up."""
    text = await said(network, bare=True)
    assert "No network is up" in text
    assert 'server="ws://127.0.0.1:8089"' in text
