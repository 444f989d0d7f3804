"""The files that are made from the registries, and checked in so that a change of them is seen.

`python -m deploy.artefacts` writes them anew; a test fails when one is not what it would be.
"""
