"""The pure heart of Folkmoot: machines as functions of (state, input, now).

Nothing in this package does I/O, reads a clock, draws a random number, logs or awaits; the import
contracts and the tidy test enforce it. What surrounds it lives in `folkmoot.runtime`.
"""
