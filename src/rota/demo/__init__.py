"""Rota at work, for people to see: the shop of `examples/flask_app`, sped up, with its process killed on the way.

`show` is the story, `process` the process that runs the shop, `lines` what is said of each happening, `checks` whether
it all held. `flask_app` is the example itself, linked into the package so that an installed Rota has it too.
"""

from pathlib import Path

_HERE = Path(__file__).parent

if not (_HERE / "flask_app").is_dir():
    # A checkout by tools that keep no links has a small file in its place.
    __path__.append(str(_HERE.parents[2] / "examples"))
