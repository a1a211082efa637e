"""Files between this machine and the nodes: `put`, `get` and `sync`.

local_files   what is to be sent, found and hashed once          names      paths and globs on the nodes
chunks        pieces of local files, read once for all nodes     results    one report a node, nothing lost
sending       put, sync: Put of the agents' protocol             removing   what `sync --delete` takes away
receiving     get: Get of the protocol                           arrivals   checked files on their way into a folder
ssh_node, ssh_sending, ssh_receiving                             the same by SFTP, where an agent does not answer
transfer      over all nodes at once, with retries and that fallback
"""
