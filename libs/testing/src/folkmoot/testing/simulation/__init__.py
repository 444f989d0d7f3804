"""Deterministic simulation: the real runtime on virtual time, with every fault drawn from a seed.

A seed makes a world: processes with clocks of their own, a broker, gossip, clients. The processes
run the product's own code (replicas, intake, emitter, candidacy, machines, bootstrap); what is
simulated is only what lies behind the ports. While the world runs, faults strike it; then they
cease, the world settles, and the checkers judge what the logs say and what receivers acted on.

The same seed gives the same history, to the byte. `python -m folkmoot.testing.simulation --seed N`
prints it.
"""
