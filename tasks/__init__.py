"""The work after `pulumi up`: plain functions that the `gaxx` commands and the Fabric tasks share.

Nothing here imports Pulumi, Fabric or paramiko when it is imported; who needs one imports it where it is used.
"""
