"""What a stack declares: settings, fleets, firewalls, user-data, and the provider behind them.

The flow: settings -> fleet (firewall, cloudinit, clouds/*) -> the engine -> provider/* -> inventory.
`inventory` and `errors` are plain Python, so that `tasks` can read them without loading Pulumi.
"""
