"""Text-to-video on plain CPUs, as a service that never loses a job."""

__version__ = "0.2.0"
