"""What the cache will serve and why: token estimate, shared-prefix index, zones, forecast, explanation. Pure."""
