"""The log: one line an event, without secrets; the standard library's logging joins it."""
