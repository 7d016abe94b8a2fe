"""The API: routes, schemas, problems, pagination, OpenAPI. Imports `web.auth`."""
