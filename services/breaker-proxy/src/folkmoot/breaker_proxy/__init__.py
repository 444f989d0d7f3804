"""The breaker-proxy service: fences off sick agents, and routes calls to the least loaded worker."""
