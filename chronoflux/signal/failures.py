"""Failures of the signaling client: why it is not connected, and whether a retry can help."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
from urllib.parse import urlsplit

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)

from chronoflux.errors import SignalingError
from chronoflux.signal.protocol import clean
from chronoflux.signal.proxy import shown

log: logging.Logger = logging.getLogger(__name__)

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that a proxy returns while the server behind it is down."""


def connection_error(
    url: str, error: BaseException | None, proxy: str | None = None, *, timeout: float
) -> SignalingError:
    """Return the error that tells why a connection failed or ended.

    Parameters
    ----------
    proxy
        The proxy over which the connection was being opened; None without a proxy, or if the connection
        was already open.
    patience
        The time (s) that the client waited for an answer.
    """
    if proxy is not None and (failure := _proxy_error(url, error, proxy)) is not None:
        return failure
    way = "" if proxy is None else f" (through the proxy {clean(shown(proxy))})"
    match error:
        case SignalingError():
            return error
        case InvalidStatus() if error.response.status_code in TRANSIENT:
            return _unreachable(url, f"HTTP {error.response.status_code}{way}")
        case InvalidStatus():
            return not_chronoflux(url, f"it answers with HTTP {error.response.status_code}{way}")
        case ConnectionResetError() | InvalidMessage(__cause__=EOFError()):
            hint = (
                "does it speak TLS? If not, use ws://"
                if url.startswith("wss")
                else "if it speaks TLS, use wss://"
            )
            return _unreachable(url, f"it closed the connection before answering ({hint}){way}")
        case InvalidHandshake():
            return not_chronoflux(url, f"it does not speak WebSocket{way}")
        case ssl.SSLCertVerificationError():
            reason = clean(error.verify_message)
            text = f"{url}: its certificate is not trusted ({reason}); see SSL_CERT_FILE{way}"
            return SignalingError(url, "certificate", text, fatal=True)
        case ssl.SSLError():
            return not_chronoflux(url, f"it does not speak TLS; try ws:// instead of wss://{way}")
        case ConnectionClosed():
            said = error.rcvd.reason if error.rcvd is not None else ""
            text = f"{url} was lost: {clean(said) or 'the connection broke'}"
            return SignalingError(url, "unreachable", text)
        case TimeoutError():
            return _unreachable(url, f"no answer within {timeout:g} s{way}")
        case socket.gaierror():
            return _unreachable(url, "the host name is unknown")
        case OSError() if _nothing_listens(error):
            return _unreachable(url, "nothing listens there (start one: python -m chronoflux.signal)")
        case OSError():
            return _unreachable(url, clean(_system(error)))
        case WebSocketException() | ImportError():
            return _unreachable(url, clean(str(error)) + way)
    if error is not None:
        log.error("the signaling client failed", exc_info=error)
    return _unreachable(url, "unexpected error; see the log")


def not_chronoflux(url: str, why: str) -> SignalingError:
    """Return the fatal error for a remote that answers but is no signaling server."""
    text = f"{url} answers, but is not a ChronoFlux signaling server: {why}"
    return SignalingError(url, "not-chronoflux", text, fatal=True)


def _unreachable(url: str, why: str) -> SignalingError:
    return SignalingError(url, "unreachable", f"{url} cannot be reached: {why}")


def _proxy_error(url: str, error: BaseException | None, proxy: str) -> SignalingError | None:
    """Return the error if the proxy failed and not the server, else None."""
    host, fatal = urlsplit(url).hostname, False
    match error:
        case InvalidProxyStatus():
            status = error.response.status_code
            fatal = status not in TRANSIENT
            need = ": give its name and password as http://name:password@…" if status == 407 else ""
            why = f"refused: HTTP {status} {clean(error.response.reason_phrase)}".rstrip() + need
        case InvalidProxyMessage():
            why, fatal = "answers, but is not an HTTP proxy", True
        case InvalidProxy():
            why, fatal = f"cannot be used: {clean(error.msg)}", True
        case ProxyError():
            why = f"failed: {clean(str(error.__cause__ or error))}"
        case ImportError():
            why, fatal = "is a SOCKS proxy: pip install python-socks", True
        case ssl.SSLError() | ConnectionResetError() | TimeoutError():
            return None  # either may have failed; the general message names the proxy
        case socket.gaierror():
            why = "cannot be reached: the host name is unknown"
        case OSError() if _nothing_listens(error):
            why = "cannot be reached: nothing listens there"
        case OSError():
            why = f"cannot be reached: {clean(_system(error))}"
        case _:
            return None
    text = f"{url} cannot be reached: the proxy {clean(shown(proxy))} {why} (to bypass it: NO_PROXY={host})"
    return SignalingError(url, "proxy", text, fatal=fatal)


def _nothing_listens(error: OSError) -> bool:
    return f"[Errno {errno.ECONNREFUSED}]" in str(error)


def _system(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
