"""The node's audit trail: what happened here, tamper-evident.

access, service, files, work ─► trail.Trail ─► lines (what a line says) ─► files (the chain on disk) ─► snapshot (for readers)
events     refusals and connections, counted and bounded (limit)
ssh        who came over SSH      host_key, settings: what enrolment changed
"""
