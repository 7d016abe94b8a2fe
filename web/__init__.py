"""The gateway over HTTP: the API and the dashboard. Imports `bridge`, neither its adapters nor `gateway`."""
