"""WHO turns the crank: `engine` performs flows; `node` owns one, and `thread`, `node.run_due` or a
moved clock (`driven`) turns it; `host` starts and stops nodes in a process; `operations` is what is asked of the store.

Law: no scheduling rule lives here; what becomes of a tick or an attempt is decided in `rota.core`.
"""
