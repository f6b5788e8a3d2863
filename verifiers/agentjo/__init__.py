"""What AgentJo and strictjson ask of a reply, read from their prompts, and whether a reply gives it.

The rules are those of `strictjson` 6.3 (`strict_json`, `parse_yaml`) and `agentjo` 1.1 (`Agent`), oddities included:
what passes here is what they parse. Nothing of theirs is imported, and no model's text is run.
"""
