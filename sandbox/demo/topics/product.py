"""The product's topics: a gateway has one package of topics."""

from topics.nova_publicacao import nova_publicacao
from topics.say_hello import say_hello

__all__ = ["nova_publicacao", "say_hello"]
