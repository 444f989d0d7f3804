"""Real brokers and services on this machine, without containers: what `folkmoot up` runs.

`up` starts and `down` stops, `status` tells, `doctor` explains. `KafkaServer` and `NatsServer`
stand alone too, for tests that break brokers. All of it binds to the loopback address only and
keeps its data in one directory that the user can look at and delete. POSIX systems.
"""
