"""`folkmoot demo`: the main job, watched live, with faults on request."""
