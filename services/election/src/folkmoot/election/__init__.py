"""The election service: who leads which team, by session and epoch."""
