"""What users write against: `Agent`, `Step` and `Client`, re-exported by `folkmoot` itself."""
