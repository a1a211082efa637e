"""All rules, in the order in which they are told."""

from policy import budget_rules, firewall_rules, machine_rules, port_rules, tag_rules, user_data_rules

RULES = (
    *port_rules.RULES,
    *firewall_rules.RULES,
    *user_data_rules.RULES,
    *tag_rules.RULES,
    *machine_rules.RULES,
    *budget_rules.RULES,
)
