"""`Scheduler(store=…, locks=…)`: ticks are claimed in one place and written down in another.

Read `locked_store` first: it is a store to whoever asks, and the others are its parts.
"""
