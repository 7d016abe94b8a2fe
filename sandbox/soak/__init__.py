"""A soak: tasks go through several gateways while servers, gateways and answers meet faults at random.

What is disturbed: servers and gateways are killed, stopped and frozen; the store's primary steps down, and connections
to it are cut; some of the engine's answers are spoiled; handlers fail, exit, hang, block, end their process, and return
what can't be kept. What is held against the promise: what the engine, the store and the diaries of handlers say.
"""
