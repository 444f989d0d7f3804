"""How many sagas a second, how soon, and at what cost: Folkmoot beside others and a bare loop."""
