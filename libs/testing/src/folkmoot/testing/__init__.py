"""Fakes and helpers to test what is built on Folkmoot."""
