"""The gateway over HTTP: the API, its documentation and the ground on which the dashboard is mounted."""
