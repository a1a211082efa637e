"""The `gaxx` program: one module a verb, which parses, calls one function of tasks and prints."""
