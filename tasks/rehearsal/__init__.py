"""The rehearsal cloud: Linode's and Vultr's APIs on loopback, and behind them machines that are local nodes.

session.py    `gaxx rehearse`: starts it, prints how to reach it
stack.py      `gaxx rehearse --stack S`: a whole life of a stack on it; copy.py: of which copy
service.py    the HTTP service of both vendors
edge.py       what every call passes: token, rate limit, faults, errors as the vendor words them
linode.py     Linode's calls; linode_things.py: networks and keys; linode_orders.py: what is accepted
vultr.py      Vultr's calls; vultr_things.py and vultr_orders.py likewise
linode_shapes.py, vultr_shapes.py  the answers
store.py      what there is: instances, firewalls, networks, keys, events; pure
catalogue.py  regions, types, images, and their limits
filters.py    X-Filter and pages
faults.py     what goes wrong, by seed
limits.py     rate limits
machines.py   instances as local nodes
"""
