"""The log in one SQLite file. `log` has the port, `writer` the thread, `file` the format."""

from folkmoot.bus.sqlite.file import Synchronous
from folkmoot.bus.sqlite.log import SqliteLog

__all__ = ["SqliteLog", "Synchronous"]
