"""flowdsl on Kafka: event streamer and connector source."""
