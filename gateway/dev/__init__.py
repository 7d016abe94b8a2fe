"""The gateway for developing: `gateway dev`. Nothing that production runs imports it."""
