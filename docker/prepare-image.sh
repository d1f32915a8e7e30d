#!/bin/sh
# Runs as root while an image is built, after the Python packages are installed.
set -e

# A new volume that is mounted there then belongs to the user that the service runs as.
install --directory --owner=bentoml --group=bentoml /data /data/models

# BentoML makes these at every start, which fails if the file system is read-only.
for folder in bentos models envs tmp; do
    install --directory --owner=bentoml --group=bentoml "$BENTOML_HOME/$folder"
done

# The `hunyuan` command, as in: docker run … hunyuan-runner hunyuan models download fasthunyuan
cat >/usr/local/bin/hunyuan <<'SCRIPT'
#!/bin/sh
PYTHONPATH="$BENTO_PATH/src" exec python -m hunyuan_runner "$@"
SCRIPT
chmod +x /usr/local/bin/hunyuan
