"""The pages, one module a page beside what only that page uses. Imports `web.components` and `web.api`."""
