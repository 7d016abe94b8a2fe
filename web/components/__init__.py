"""The parts of pages: layout, forms, charts, formats, live updates. Imports `web.auth` and `web.i18n`."""
