"""The engine at work for a stack: `up`, `preview`, `down`, and the verbs that change the stack file and then go `up`.

`deploy` runs Pulumi on this terminal and says how it ended, `event_log` is what the engine tells, `doing_without` reads
there which machines an `up` can do without, `locks` ends what a killed engine left. `rotate` and `extend` change what
is declared, as `changing` says.
"""
