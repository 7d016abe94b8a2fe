"""The way of a task, in this order: poll or submit, intake, relay, handle, deliver; reconcile repeats overdue steps.

Imports `domain`, `ports` and `runtime`, no adapter. The main module of a stage has the name of the stage.
"""
