"""How a callable is called: at once, in a thread, on a loop, in another process; each module one way."""
