"""The engine over Camunda 7's REST interface (Operaton and CIB seven have the same)."""
