"""`gaxx reap`: what is over, idle or forgotten goes, and nothing that is somebody else's.

states        what this backend's stacks know of            (pulumi stack ls, export)
accounts      what stands at the vendors with our tags      (components.vendors)
computer      what lies on this computer, node folders      (components.local_machine)
verdicts      which of it is over, idle, forgotten, foreign: pure
survey        all of it together; changes nothing
removal       what a survey condemned is destroyed or deleted
forced        of one stack, all its machines at once (`gaxx down --force`)
leftovers     of one stack, what a failed create left: after an update that went on without it
"""
