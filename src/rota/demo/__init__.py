"""Rota at work, for people to see: the shop of `examples/flask_app`, sped up, with its process killed on the way.

`show` is the story, `process` the process that runs the shop, `lines` what is said of each happening, `checks` whether
it all held. `flask_app` is the example itself, linked into the package so that an installed Rota has it too.
"""
