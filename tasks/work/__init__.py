"""`gaxx map`: each item of an input once, on whichever node is free, with a ledger that is exact.

The way of an item: `items` (spooled input) ─► `queue` (leases) ─► `node_stream` (one a node) ─► `results`
(outputs and returned files) ─► `journal` (what has become of it, on disk before the node may forget) ─► `ledger`.
`mapper` drives them until `ending` says so; `item_table` and `blame` are the queue's memory; `placeholders` and
`shell` write each item's command, `order` shuffles, `pace` sizes the batches, `halting` and `durations` are the
limits; `fetching` brings what is too large for a result, `failures` counts what failed alike. `runs` reads what is
left on disk afterwards.
"""
