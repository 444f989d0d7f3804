"""The breaker-proxy service: fences off sick agents and routes calls to workers."""
