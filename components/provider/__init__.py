"""What the engine calls: create, diff, read, update and delete of each of our own resources.

wire.py       the engine's property maps <-> Python values, secrets and unknowns
resource.py   what every resource of ours is: properties, generic check and diff
context.py    what a call gets besides its properties: the authority, the engine's log
servicer.py   the gRPC service, one method a verb
schema.py     the package schema: our resources and our components in one
*_resource    one module a resource: bootstrap_identity, local_node, enrolment, operator, inventory_document, sweep
"""
