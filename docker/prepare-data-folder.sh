#!/bin/sh
# Runs while the image is built. A new volume that is mounted at /data then belongs to the user that
# the service runs as.
set -e
mkdir -p /data
chown bentoml:bentoml /data
