"""The topics that the bench's gateways work: as many as BENCH_TOPICS names, by handlers that do nothing."""
