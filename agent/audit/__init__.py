"""The node's audit trail: what happened here, tamper-evident.

access, service, files, work ─► trail.Trail ─► lines (what one says) ─► files (the chain on disk) ─► snapshot (to read)
events     refusals and connections, counted and bounded (limit)
ssh        who came over SSH      host_key, settings: what enrolment changed
"""
