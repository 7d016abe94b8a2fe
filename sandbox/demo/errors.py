"""What can go wrong with the demo, said so that the reader knows what to do next."""


class DemoError(Exception):
    """The demo can't go on."""


class EngineUnreachable(DemoError):
    """The engine doesn't answer; a moment later it may."""


class EngineRefused(DemoError):
    """The engine answered with an error."""


class GatewayFailed(DemoError):
    """The gateway ended or never became ready; the message ends with the tail of its log."""
