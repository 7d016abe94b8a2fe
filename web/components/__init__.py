"""What pages are made of: layout, forms, charts, formats, live updates. Imports `web.auth` and `web.i18n`."""
