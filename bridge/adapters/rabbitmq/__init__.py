"""The broker on RabbitMQ, by FastStream."""
