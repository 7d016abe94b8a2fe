"""Proxies before the servers that answer as networks, logins and step-downs make servers answer."""
