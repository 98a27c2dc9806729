"""Rows of history by their socket, along an index of one number: what the host's and the socket's have in front.

Why so: a number alone is the narrowest key that PostgreSQL has, and with the host in front what a host ends stands in a
few pages. By the socket alone each row would go to another page of the whole index; that took twice the CPU on SQLite.

What must stay true: each condition on a row's host and socket stands beside the one here that follows from it, for
without that an engine goes through all that is kept of the host.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import BigInteger, BindParameter, ColumnElement, bindparam, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from fleetnet_server.storage.schema import OF_SOCKET, history

# As in OF_SOCKET: 23 bits of the host's number, so that nothing overflows, before the first 40 of the socket's.
_HOSTS: Final = 1 << 23
_SOCKETS: Final = 1 << 40
_LEFT_OUT: Final = 1 << 23

# Word for word what the index is of: else no engine would use it.
NUMBER: ColumnElement[int] = literal_column(
    OF_SOCKET.text.replace("host_id", "history.host_id").replace("socket_id", "history.socket_id"), BigInteger
)


class _Host(ColumnElement[int]):
    """The host of a row, by which SQLite uses no index: it counts nothing, and would as soon go through all of a host.

    Others have counted, and one that is spread over machines goes by it to the machine of the host.
    """

    inherit_cache = True
    type = BigInteger()


@compiles(_Host)
def _host(_element: _Host, compiler: SQLCompiler, **_: object) -> str:
    # A term with a unary + before it is none for indexes: https://www.sqlite.org/optoverview.html#uplus
    return "+history.host_id" if compiler.dialect.name == "sqlite" else "history.host_id"


def of_host(name: str) -> ColumnElement[bool]:
    """Rows of a host, the parameter of this name; beside it `NUMBER` is to stand."""
    return _Host() == bindparam(name, type_=BigInteger)


def numbers(host_id: int, socket_ids: Iterable[int]) -> list[int]:
    """Those of some sockets of a host."""
    of_host = host_id % _HOSTS * _SOCKETS
    return [of_host + socket_id // _LEFT_OUT for socket_id in socket_ids]


def is_of(of_host: str, of_socket: str) -> tuple[ColumnElement[bool], ...]:
    """Rows of one socket, its host and its number being parameters of these names."""
    host: BindParameter[int] = bindparam(of_host, type_=BigInteger)
    socket: BindParameter[int] = bindparam(of_socket, type_=BigInteger)
    in_front = host.op("&", return_type=BigInteger())(_constant(_HOSTS - 1)) * _constant(_SOCKETS)
    number = in_front + socket.op("/", return_type=BigInteger())(_constant(_LEFT_OUT))
    return (_Host() == host, history.c.socket_id == socket, number == NUMBER)


def _constant(value: int) -> ColumnElement[int]:
    return literal_column(str(value), BigInteger)
