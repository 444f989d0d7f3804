"""What Folkmoot's fail-over is compared with: each peer is a program whose copies all want to lead.

A contender prints `ready` when it follows, and `leading NANOSECONDS` (of the machine's monotonic
clock, which all processes share) when it has begun to lead. `resign` on its standard input makes it
hand over and stand again; the end of that input makes it exit.
"""
