"""A scheduler in its host process: whether and how it runs there, beside forks, reloaders, signals and somebody's loop.

Law: `host` owns the one node of a process; nothing below knows of hosts.
"""
