"""The main job: a dependency dossier of the running environment, each claim with its source.

`facts` reads, `analysis` concludes, `findings` chooses, `markdown` and `html` write, `verify` reads
again. All of these are ordinary functions; `agents` makes steps of them.
"""
