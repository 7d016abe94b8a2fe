"""The way of a task, in this order: poll or submit, intake, relay, handle, deliver; reconcile picks up what was left.

Imports `domain`, `ports` and `runtime`, no adapter. The main module of a stage has the name of the stage.
"""
