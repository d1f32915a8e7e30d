"""The engine: a child process that holds the pipeline. Nothing outside this room imports torch."""
