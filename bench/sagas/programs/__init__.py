"""What runs as processes of their own: drivers, which make the load, and what serves the peers.

A driver prints `ready`, then takes one load a line on its standard input, as JSON, and answers each
with one line, the outcome or what went wrong. The end of its standard input makes a program exit.
Those of a peer run in the environment that holds that peer, so they import nothing of Folkmoot's.
"""
