"""Who may call what: `guard` stands before every handler and asks `rules`, which knows `tokens` and reads a `peer`.

`denied` is the closed set of reasons, `refusal` how a handler says no by itself.
"""
