"""Who a request comes from and what they may do: guard, CSRF, content security policy. Imports `web.dependencies`."""
