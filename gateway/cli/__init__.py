"""The command line: `main` has `gateway serve`; each group of commands is one module. Imports all of `gateway`."""
