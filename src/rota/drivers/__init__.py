"""WHO turns the crank: `engine` performs flows, `thread`, `aio` and `manual` decide when it is turned.

Law: no scheduling rule lives here; what becomes of a tick or an attempt is decided in `rota.core`.
"""
