"""Opens the storage that the settings name."""

from __future__ import annotations

from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import Folder
from hunyuan_runner.storage.protocol import Storage


def open_storage(settings: Settings) -> Storage:
    """The bucket of HUNYUAN_STORAGE_URL, or a folder under the data folder."""
    if settings.storage_url is not None:
        from hunyuan_runner.storage.bucket import Bucket  # 4 MB of memory that few services need

        return Bucket.open(settings.storage_url)
    return Folder(settings.data_dir.absolute() / "objects")
