"""`python -m hunyuan_runner` is the `hunyuan` command, also where that is not installed."""

from hunyuan_runner.cli import app

app()
