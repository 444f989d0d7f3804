"""How long a shard, a hand-over and a team are without a leader, and what the kernel costs."""
