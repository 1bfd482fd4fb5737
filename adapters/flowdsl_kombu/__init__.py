"""The event streamer over kombu: RabbitMQ, Redis, and kombu's memory transport, chosen by URL."""
