"""What a person asks of a scheduler, started or not: run it now, later or again, look, steer, explain.

Law: it is checked before the store hears of it, and answered by the store; no engine is needed.
"""
