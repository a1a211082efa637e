"""The firewall, proven from outside and inside: each port of each node is asked, and the answers held to the rules.

expected      what the stack file says must be open, from a given address      standing   where we and the peers stand
probe         asks ports by their protocols; also what a peer executes         matrix     both, side by side
"""
