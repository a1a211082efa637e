"""The program on every node: answers the controller, hands items to the runner, executes nothing itself.

Trust: the listener answers only mutual TLS with a certificate of the stack's authority AND the bearer
token of the principal that the certificate names. Two processes: `agent` holds keys and the network,
`agent.runner` executes items as another user; one Unix socket lies between them.
`access` decides who may call, `files` and `work` answer the calls that have much to do, `audit` writes down what
happened, `install` brings a node under its authority.
This package imports nothing of ours but itself, and neither Pulumi nor Fabric nor paramiko.
"""

import os

# gRPC's core writes lines of its own to stderr, which belongs to our logs and to the user.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
