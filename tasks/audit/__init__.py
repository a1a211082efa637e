"""The audit trails of nodes, on the controller.

collect (asks the nodes) ─► chain (is it whole, is it what was seen before) ─► kept (what this controller has) ─► show
"""
