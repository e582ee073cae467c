"""Errors of aiortc's and aioice's own tasks and timers reach no user; all others do."""

from __future__ import annotations

import asyncio
import gc
import logging

import aioice
import pytest
from aioice import stun
from aioice.ice import StunProtocol
from aiortc.rtcsctptransport import RTCSctpTransport

from chronoflux.mesh.library_errors import Context, LibraryErrorHandler, install
from tests.mesh.test_link import End, opened, pair
from tests.support import until


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the event loop printed."""
    return [record.getMessage() for record in caplog.records if record.name == "asyncio"]


def transport(end: End) -> RTCSctpTransport:
    """aiortc's part of a link."""
    assert end.link._connection is not None
    assert end.link._connection.sctp is not None
    return end.link._connection.sctp


def strays() -> int:
    """How many there were."""
    gc.collect()
    handler = asyncio.get_running_loop().get_exception_handler()
    assert isinstance(handler, LibraryErrorHandler)
    return handler.count


async def test_a_link_that_breaks_while_something_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """When a link's encryption ends at the moment in which a message is sent, aiortc's task for sending it
    fails; nothing is printed, and the link ends with a reason."""
    async with pair() as (a, b):
        await opened(a, b)
        await transport(a).transport.stop()
        assert a.link.send("x")
        await until(lambda: a.closed)
        assert a.link.reason
        await until(lambda: strays() == 1, what="aiortc's task, forgotten")
    assert not told(caplog)


async def test_a_check_whose_socket_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """A check of aioice's that is due after its socket was lost fails in a timer; that is not printed."""
    loop = asyncio.get_running_loop()
    install(loop)
    connection = aioice.Connection(ice_controlling=True)
    socket, protocol = await loop.create_datagram_endpoint(
        lambda: StunProtocol(connection), local_addr=("127.0.0.1", 0)
    )
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    running = asyncio.create_task(protocol.request(request, ("127.0.0.1", 9)))
    await asyncio.sleep(0)
    socket.close()
    await protocol._StunProtocol__closed  # type: ignore[attr-defined]
    await until(lambda: strays() > 0, what="the check is due again")
    running.cancel()
    await asyncio.wait([running])
    assert not told(caplog)


async def test_errors_of_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """An error of our own or of the user's, also one inside a task of aiortc's, goes to the handler that was
    there before, and to one that is set later; without any it is printed."""
    loop = asyncio.get_running_loop()
    heard: list[Context] = []
    loop.set_exception_handler(lambda loop, context: heard.append(context))

    class Broken:
        def __bytes__(self) -> bytes:
            raise RuntimeError("ours")

    async def ours() -> None:
        raise RuntimeError("ours")

    def late() -> None:
        raise RuntimeError("ours")

    async def fail_in_three_ways(a: End) -> None:
        loop.call_soon(late)
        failing = [asyncio.ensure_future(ours()), asyncio.ensure_future(transport(a)._send_chunk(Broken()))]  # type: ignore[arg-type]
        await asyncio.wait(failing)
        failing.clear()
        gc.collect()

    async with pair() as (a, b):
        await opened(a, b)
        await fail_in_three_ways(a)
        assert [str(context["exception"]) for context in heard] == ["ours"] * 3
        later: list[Context] = []
        loop.set_exception_handler(lambda loop, context: later.append(context))
        another = End(True, lambda payload: None)
        another.link.start()
        await another.link.close()
        await fail_in_three_ways(a)
        assert (len(heard), len(later)) == (3, 3)
        assert not told(caplog)
        loop.set_exception_handler(None)
        install(loop)
        await fail_in_three_ways(a)
        assert len(told(caplog)) == 3
        assert install(loop) is install(loop)
        assert strays() == 0


async def test_strays_are_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    """What is not printed is in the debug log, with its traceback."""
    caplog.set_level(logging.DEBUG, "chronoflux.mesh.library_errors")
    async with pair() as (a, b):
        await opened(a, b)
        await transport(a).transport.stop()
        await until(lambda: transport(a).transport.state == "closed")
        flushing = {
            asyncio.ensure_future(transport(a)._transmit()),
            asyncio.ensure_future(transport(a)._abort()),
        }
        flushing.add(asyncio.ensure_future(transport(a)._init()))
        await asyncio.wait(flushing)
        flushing.clear()
        await until(lambda: strays() == 1)
    (record,) = [record for record in caplog.records if record.name == "chronoflux.mesh.library_errors"]
    assert record.exc_info is not None
    assert record.exc_info[0] is ConnectionError
