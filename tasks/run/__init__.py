"""`gaxx run`: a command once on every node, by its agent or over SSH, and what became of it on each.

`command` says what is wanted, `execution` drives `exec_call` (an agent's) or `over_ssh` on every node, `live` and
`progress` show it meanwhile, `report` at the end.
"""
