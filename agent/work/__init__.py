"""The Work call: items leased to this node by a controller, and their results, which wait here until it has them.

`streams` answers the call, `leased` knows one run's items, `item_spawn` writes what the runner is asked for each, and
`outbox` brings the results to the controller, out of what `held` keeps on disk. `run_folders` says where a run lies,
`returned` takes the files that an item leaves behind.
"""
