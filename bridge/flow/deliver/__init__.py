"""From a stored outcome to the engine: complete, fail or throw, until the engine has it. Imports `flow.engine`."""
