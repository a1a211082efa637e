"""The ways to nodes: which one a node is reached by, OpenSSH's client for people, Fabric's connections for programs."""
