#!/bin/sh
# Runs while the image is built: a volume mounted at /data begins as the service's user's own.
set -e
mkdir -p /data
chown bentoml:bentoml /data
