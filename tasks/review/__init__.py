"""A change to a fleet as a reviewer reads it: what will change, who reaches what, what it costs, which rules it breaks.

review        gathers base and head, has them judged and rendered
repository    the two commits, each in a folder of its own
preview       the engine's preview of a commit, on a throw-away backend or the stack's own
events        the engine's event log as a document;  declared  the same from the stack file alone (`--static`)
document      what was gathered of one commit, without secrets: the contract with the judge
judge         base and head documents in, comment and exit code out: pure, and run from the base commit
comparison    the documents as a model;  exposure, machines, findings  its parts
markdown      the model as a comment
plan          a plan that is applied only to what was reviewed
"""
