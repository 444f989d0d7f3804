"""Histories of every machine, made from a seed: what a shard's log may hold after a busy time."""

from folkmoot.testing.histories.history import History, Player, Written
from folkmoot.testing.histories.players import PLAYERS

__all__ = ["PLAYERS", "History", "Player", "Written"]
