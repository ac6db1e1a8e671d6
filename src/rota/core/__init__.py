"""WHAT happens to a fire instant, pure: no clock, thread, loop, file or socket. Read `lifecycle.py` first."""
