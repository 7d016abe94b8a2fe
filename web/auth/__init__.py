"""Authentication and authorization: guard, CSRF, content security policy. Imports `web.dependencies`."""
