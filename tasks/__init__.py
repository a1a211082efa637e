"""The work after `pulumi up`: plain functions that the `gaxx` commands and the Fabric tasks share.

| room | what is done there |
|---|---|
| `cli` | the command line: one module a verb, which parses, calls what does it, and prints |
| `updates` | `up`, `preview`, `down`, `rotate`, `extend`: the engine at work |
| `run`, `work`, `files` | commands on every node; items over the nodes (`map`, `job`, `runs`); files (`put`, `get`, `sync`) |
| `ssh` | ways to nodes: `ssh`, `tunnel`, nodes behind SSH |
| `audit`, `exposure` | what happened on the nodes; what can be reached of them |
| `review`, `ci` | what a branch changes; workflows that ask |
| `reap` | what is over, idle or forgotten |
| `rehearsal` | clouds on this computer |

Here lies what many of them need: whose stack it is (`inventory`, `identity`, `env`), which nodes (`selection`), many at
once (`fanout`), what became of each (`outcome`, `failure`); and the small verbs, a module each.

Nothing here imports Pulumi, Fabric or paramiko when it is imported; who needs one imports it where it is used.
"""
