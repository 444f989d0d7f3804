"""The saga-orchestrator service: runs tasks as sagas."""
