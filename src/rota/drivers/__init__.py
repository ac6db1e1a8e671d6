"""WHO turns the crank: `engine` performs flows; `node` owns one, and `thread`, `node.run_due` or a moved clock
(`driven`) turns it; `runtime` is what a scheduler works on. Around them: `hosting` starts and stops nodes in a process,
`asking` is what is asked of the store, `locks_apart` a store whose ticks are claimed elsewhere.

Law: no scheduling rule lives here; what becomes of a tick or an attempt is decided in `rota.core`.
"""
