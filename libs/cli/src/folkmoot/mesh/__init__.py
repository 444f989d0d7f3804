"""The embedded mesh: all five services and any number of members in one process, on one file."""

from folkmoot.mesh.embedded import Member, Mesh, MeshOptions

__all__ = ["Member", "Mesh", "MeshOptions"]
