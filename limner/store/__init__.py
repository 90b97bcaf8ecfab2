"""Sessions and their turns in a database: SQLite in a file, or PostgreSQL. Only this package speaks to one."""

from limner.store.sessions import SessionState, Store

__all__ = ["SessionState", "Store"]
