"""The topics that the demo's gateway works: the product's, and those of the demo's own models."""
