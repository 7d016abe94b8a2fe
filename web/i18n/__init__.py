"""The texts of pages and their catalogs, in English and Portuguese."""
