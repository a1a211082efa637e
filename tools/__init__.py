"""What a clone needs before anything else: the Pulumi engine (`engine`) and the set-up of a fresh machine (`setup`).

Everything here but the language host runs on the standard library alone, because it runs before there is a venv.
"""
