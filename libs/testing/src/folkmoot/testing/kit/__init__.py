"""The test kit for what is built on Folkmoot: a whole mesh, in one test, on virtual time.

The services are the product's own, put together by their own bootstrap; only what lies behind the
ports is simulated, as in `folkmoot.testing.simulation`. Nothing here needs pytest.
"""
