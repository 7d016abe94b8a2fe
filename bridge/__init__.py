"""The bridge between the Camunda 7 engine and the code that does the work. Imports neither `web` nor `gateway`."""
