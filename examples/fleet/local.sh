#!/usr/bin/env bash
# Three workers on the PostgreSQL and RabbitMQ of this machine. Set FLEET_STORE and FLEET_STREAMER for others.
# Needs: pip install 'flowdsl[postgresql,kombu]'. Run it from the root of the checkout.
set -euo pipefail
store=${FLEET_STORE:-postgresql+psycopg://postgres@127.0.0.1:5432/postgres}
streamer=${FLEET_STREAMER:-amqp://guest:guest@127.0.0.1:5672//}
flowdsl db upgrade --store "$store"
exec python -m examples.fleet --store "$store" --streamer "$streamer" --workers 3 "$@"
