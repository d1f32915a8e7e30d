"""Fetch, check, quantise and list models; `hunyuan models` does the same with a command for each.

.venv/bin/python download_models.py --list
.venv/bin/python download_models.py fasthunyuan --accept-licence --quantise int8
.venv/bin/python download_models.py fasthunyuan --verify
"""

import typer

from hunyuan_runner.cli.models import download_models

if __name__ == "__main__":
    typer.run(download_models)
