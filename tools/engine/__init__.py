"""How a machine comes by the Pulumi engine.

    path ─► download ─► build (golang) ─► cache ─► venv (link) ─► .venv/share/gaxx/engine.json

The first source that has an engine wins. `language_host` is not part of that flow: it is what an engine
from `build` runs Python programs with.
"""
