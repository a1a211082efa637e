"""The policy pack: judges what the engine is about to do, on our resources and on plain Linode and Vultr ones.

It trusts nothing of ours: it imports no other folder, and reads the engine's properties only.

    pack              the rules as Pulumi policies; levels and parameters from the pack's configuration
    rulebook          all rules
    rule, declared    what a rule is, and what it is given
    *_rules           the rules, one subject a module
    openings          firewalls of every cloud as (ports, sources);  address_ranges  what is private, what is the world
    machines          machines of every cloud in one form;  user_data  what they boot from, decoded and parsed
    credentials       what looks like a secret;  price_table  $/hour (prices.json)
"""
