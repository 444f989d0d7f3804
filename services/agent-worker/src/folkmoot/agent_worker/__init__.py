"""The agent-worker service: hosts agents, runs their handlers, journals what they do."""
