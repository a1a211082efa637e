"""The work after `pulumi up`: plain functions that the `gaxx` commands and the Fabric tasks share.

- `cli`: the command line; one module a verb, which parses, calls what does it, and prints
- `updates`: the engine at work for `up`, `preview`, `down`, `rotate`, `extend`
- `run`: a command on every node; `work`: items over the nodes (`map`, `job`, `runs`); `files`: `put`, `get`, `sync`
- `ssh`: the ways to nodes (`ssh`, `tunnel`, nodes behind SSH)
- `audit`: what happened on the nodes; `exposure`: what can be reached of them
- `review`: what a branch changes; `ci`: workflows that ask
- `reap`: what is over, idle or forgotten; `rehearsal`: clouds on this computer

Here lies what many of them need: whose stack it is (`inventory`, `identity`, `env`), which nodes (`selection`), many at
once (`fanout`), what became of each (`outcome`, `failure`); and the small verbs, a module each.

Nothing here imports Pulumi, Fabric or paramiko when it is imported; who needs one imports it where it is used.
"""
