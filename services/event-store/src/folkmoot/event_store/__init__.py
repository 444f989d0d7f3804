"""The event-store service: streams of events, and every log as streams."""
