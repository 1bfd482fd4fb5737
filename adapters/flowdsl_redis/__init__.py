"""flowdsl on Redis: Redis Streams as event streamer, leases for roles."""
