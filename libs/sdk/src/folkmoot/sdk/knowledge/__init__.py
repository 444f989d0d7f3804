"""What agents know together: documents that merge by themselves and outlive every agent."""

from folkmoot.sdk.knowledge.bound import BoundCounter, BoundKnowledge, BoundSet
from folkmoot.sdk.knowledge.keeping import RECORDS_MAX
from folkmoot.sdk.knowledge.reading import read_all, read_document
from folkmoot.sdk.knowledge.sharing import Knowledge

__all__ = [
    "RECORDS_MAX",
    "BoundCounter",
    "BoundKnowledge",
    "BoundSet",
    "Knowledge",
    "read_all",
    "read_document",
]
