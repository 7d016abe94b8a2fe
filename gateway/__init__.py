"""The program: settings, wiring, start and stop, and the command line. Imports all packages; none imports it."""
